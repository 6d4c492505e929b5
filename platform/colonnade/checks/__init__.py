"""Checks of entitlements, answered from the memory of each web process.

memory      the answers that are kept, and which of them a notification makes wrong
listener    hears the notifications, and knows up to when it has heard all
checks      one answer: from memory, else from the database
answers     how an answer is written
front       answers what memory can, before the application's routing
routes      the routes
"""
