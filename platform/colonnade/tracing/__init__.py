"""OpenTelemetry traces: what the processes do for a request, and for an event from its receipt to the notification."""
