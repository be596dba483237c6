"""The process that keeps links in step: supervision, its interface over a Unix socket, metrics, the service manager."""
