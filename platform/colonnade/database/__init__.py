"""PostgreSQL: the embedded server, roles by duty, connections, the platform's tables and the migrations."""
