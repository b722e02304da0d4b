package policies

import (
	"net/netip"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	corelisters "k8s.io/client-go/listers/core/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
)

// decider decides on connections by the NetworkPolicies of the cluster.
type decider struct {
	policies   networkinglisters.NetworkPolicyLister
	namespaces corelisters.NamespaceLister
	// pod returns the pod with an address; nil if there is none.
	pod func(netip.Addr) *core.Pod
}

// peer is one end of a connection, as a policy of the other end sees it. pod is nil outside of the cluster.
type peer struct {
	address netip.Addr
	pod     *core.Pod
}

// refusal returns which side's policies refuse a connection, or "" if it is allowed.
func (d *decider) refusal(c connection) string {
	source, target := peer{c.source, d.pod(c.source)}, peer{c.target, d.pod(c.target)}
	if !d.allows(networking.PolicyTypeEgress, source.pod, target, c, target.pod) {
		return "egress policies of the source"
	}
	if !d.allows(networking.PolicyTypeIngress, target.pod, source, c, target.pod) {
		return "ingress policies of the target"
	}
	return ""
}

// allows reports whether the policies that select a pod allow a connection of it in one direction.
func (d *decider) allows(
	direction networking.PolicyType, selected *core.Pod, other peer, c connection, target *core.Pod,
) bool {
	if selected == nil {
		return true
	}
	policies, err := d.policies.NetworkPolicies(selected.Namespace).List(labels.Everything())
	if err != nil {
		return false
	}
	isolated := false
	for _, policy := range policies {
		if !applies(policy, direction) || !matches(&policy.Spec.PodSelector, selected.Labels) {
			continue
		}
		isolated = true
		for _, rule := range rules(policy, direction) {
			if hasPort(rule.ports, c, target) && d.hasPeer(rule.peers, policy.Namespace, other) {
				return true
			}
		}
	}
	return !isolated
}

// rule is a rule of either direction. Without ports or peers it allows all of them.
type rule struct {
	ports []networking.NetworkPolicyPort
	peers []networking.NetworkPolicyPeer
}

func rules(policy *networking.NetworkPolicy, direction networking.PolicyType) []rule {
	var result []rule
	if direction == networking.PolicyTypeIngress {
		for _, item := range policy.Spec.Ingress {
			result = append(result, rule{item.Ports, item.From})
		}
		return result
	}
	for _, item := range policy.Spec.Egress {
		result = append(result, rule{item.Ports, item.To})
	}
	return result
}

func applies(policy *networking.NetworkPolicy, direction networking.PolicyType) bool {
	for _, item := range policy.Spec.PolicyTypes {
		if item == direction {
			return true
		}
	}
	return false
}

func hasPort(ports []networking.NetworkPolicyPort, c connection, target *core.Pod) bool {
	for _, item := range ports {
		if item.Protocol != nil && *item.Protocol != c.protocol {
			continue
		}
		switch {
		case item.Port == nil:
			return true
		case item.Port.StrVal != "":
			if isNamed(target, item.Port.StrVal, c) {
				return true
			}
		case item.EndPort != nil:
			if int(item.Port.IntVal) <= c.port && c.port <= int(*item.EndPort) {
				return true
			}
		case int(item.Port.IntVal) == c.port:
			return true
		}
	}
	return len(ports) == 0
}

// isNamed reports whether a container of the target has a port of that name, and the connection goes to it.
func isNamed(target *core.Pod, name string, c connection) bool {
	if target == nil {
		return false
	}
	for _, container := range target.Spec.Containers {
		for _, port := range container.Ports {
			if port.Name == name && port.Protocol == c.protocol && int(port.ContainerPort) == c.port {
				return true
			}
		}
	}
	return false
}

func (d *decider) hasPeer(peers []networking.NetworkPolicyPeer, namespace string, other peer) bool {
	for _, item := range peers {
		switch {
		case item.IPBlock != nil:
			if inBlock(item.IPBlock, other.address) {
				return true
			}
		case other.pod == nil:
		case item.PodSelector != nil && !matches(item.PodSelector, other.pod.Labels):
		case item.NamespaceSelector == nil:
			if other.pod.Namespace == namespace {
				return true
			}
		default:
			found, err := d.namespaces.Get(other.pod.Namespace)
			if err == nil && matches(item.NamespaceSelector, found.Labels) {
				return true
			}
		}
	}
	return len(peers) == 0
}

func inBlock(block *networking.IPBlock, address netip.Addr) bool {
	for _, exception := range block.Except {
		if inRange(exception, address) {
			return false
		}
	}
	return inRange(block.CIDR, address)
}

func inRange(text string, address netip.Addr) bool {
	prefix, err := netip.ParsePrefix(text)
	return err == nil && prefix.Contains(address)
}

func matches(selector *meta.LabelSelector, values map[string]string) bool {
	parsed, err := meta.LabelSelectorAsSelector(selector)
	return err == nil && parsed.Matches(labels.Set(values))
}
