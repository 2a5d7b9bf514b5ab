"""Every overlay renders, fits the schemas of Kubernetes and KEDA, and keeps to our rules."""
