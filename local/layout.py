"""The names, addresses and ports of the local cluster."""

VERSION = "v1.35.4"  # the newest Kubernetes whose modules all resolve and that supports containerd 1.6
PAUSE_IMAGE = "localhost/pause:1"

# The bridge's own address is the node's address. API server, kubelet and DNS listen there and on loopback only, so that
# pods reach them and other machines do not. `local.nodes` has the address and the pods' subnet of each node.
BRIDGE = "crawl0"
LINKS = "crawl+"  # in a firewall rule: the bridge, and the links between the machine and the nodes
UPLINK = "crawl-uplink"  # in a node's namespace: the link to the machine
GATEWAY = "10.244.0.1"
MAX_NODES = 8
POD_RANGE = "10.244.0.0/21"  # the pods of MAX_NODES nodes
SERVICE_SUBNET = "10.96.0.0/16"
SERVICE_API = "10.96.0.1"
CNI_NETWORK = "web-crawl-tracing-pods"

API_PORT = 6443
KUBELET_PORT = 10250
KUBELET_HEALTH_PORT = 10248
DNS_PORT = 53
DNS_HEALTH_PORT = 8085
DNS_READY_PORT = 8181

# Ports that another program must not use: (address, port, what it is for).
PORTS = (
    (GATEWAY, API_PORT, "kube-apiserver"),
    (GATEWAY, KUBELET_PORT, "kubelet"),
    (GATEWAY, DNS_PORT, "DNS"),
    ("127.0.0.1", DNS_HEALTH_PORT, "DNS health"),
    ("127.0.0.1", DNS_READY_PORT, "DNS readiness"),
    (GATEWAY, KUBELET_HEALTH_PORT, "kubelet health"),
    ("127.0.0.1", 10249, "kube-proxy metrics"),
    ("127.0.0.1", 10256, "kube-proxy health"),
    ("127.0.0.1", 10257, "kube-controller-manager"),
    ("127.0.0.1", 10259, "kube-scheduler"),
)

VOLUMES = 16  # static volumes of a node, behind the default StorageClass
STORAGE_CLASS = "local"
POLICY_QUEUE = 100  # of a node's firewall: what NetworkPolicies decide on
MARK = "web-crawl-tracing"  # comment of our own firewall rules
