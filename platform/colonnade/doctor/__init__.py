"""What is wrong with a deployment before its traffic shows it: small checks, each finding with its cure."""
