"""`make cluster`: the manifests on a real control plane of Kubernetes, and day two played through under load.

etcd, API server, controllers and scheduler are the real ones. What Kubernetes has machines for, running the
containers, is done by `kubelet` here: the command of each runs as a process, with a root, a network and a
process list of its own; `policies` says who may speak to whom. All of it lives in namespaces that end with
the run: it needs root on Linux, takes no port of the machine, and leaves nothing behind. Not there: images,
limits of CPU and memory, kube-proxy and `kubectl exec`.
"""
