"""What the end-to-end tests stand on: processes, people, mounts, stores, proxies. Standard library only."""
