// Package policies enforces the NetworkPolicies of a node's pods.
//
// The firewall queues the first packet of each connection from or to a pod; this program lets it pass or drops it. The
// kernel's connection tracking lets all later packets pass. While this program does not run, the kernel drops what is
// queued.
package policies

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/florianl/go-nfqueue"
	"github.com/spf13/cobra"
	"golang.org/x/time/rate"
	core "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

const (
	byAddress = "address"
	// A pod can send before its address is in its status, so a packet waits for the pod.
	podLimit    = 3 * time.Second
	podInterval = 20 * time.Millisecond
	// Bytes of a packet that are read: the longest IPv4 header and the ports.
	headerBytes   = 64
	waitingAtMost = 4096
)

// NewCommand returns the command that enforces the policies of one node.
func NewCommand() *cobra.Command {
	var kubeconfig, pods string
	var queue uint16
	command := &cobra.Command{
		Use:           "network-policies",
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(command *cobra.Command, _ []string) error {
			podRange, err := netip.ParsePrefix(pods)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return run(ctx, kubeconfig, podRange, queue)
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "file with the way to the API server")
	command.Flags().StringVar(&pods, "pod-range", "", "the addresses of all pods, as a CIDR")
	command.Flags().Uint16Var(&queue, "queue", 0, "number of the firewall's queue")
	return command
}

// enforcer gives the kernel the verdict on each queued packet.
type enforcer struct {
	decider  decider
	podRange netip.Prefix
	isNode   func(netip.Addr) bool
	log      *rate.Limiter
}

func run(ctx context.Context, kubeconfig string, podRange netip.Prefix, number uint16) error {
	enforcer, err := newEnforcer(ctx, kubeconfig, podRange)
	if err != nil {
		return err
	}
	queue, err := nfqueue.Open(&nfqueue.Config{
		NfQueue:      number,
		MaxQueueLen:  waitingAtMost,
		MaxPacketLen: headerBytes,
		Copymode:     nfqueue.NfQnlCopyPacket,
		WriteTimeout: time.Second,
	})
	if err != nil {
		return fmt.Errorf("the queue of the firewall cannot be opened: %w", err)
	}
	defer queue.Close()
	packets := func(packet nfqueue.Attribute) int {
		if packet.PacketID != nil && packet.Payload != nil {
			go enforcer.answer(queue, *packet.PacketID, *packet.Payload)
		}
		return 0
	}
	failures := func(err error) int {
		if !errors.Is(err, os.ErrNotExist) { // the packet ended with the link that it came from or would leave by
			klog.ErrorS(err, "the queue of the firewall reports an error")
		}
		return 0
	}
	if err := queue.RegisterWithErrorFunc(ctx, packets, failures); err != nil {
		return fmt.Errorf("the queue of the firewall cannot be read: %w", err)
	}
	klog.InfoS("enforcing network policies", "queue", number, "pods", podRange)
	<-ctx.Done()
	return nil
}

// newEnforcer returns an enforcer that knows all pods, nodes, namespaces and policies.
func newEnforcer(ctx context.Context, kubeconfig string, podRange netip.Prefix) (*enforcer, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.ContentType = "application/vnd.kubernetes.protobuf"
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	pods, nodes := factory.Core().V1().Pods().Informer(), factory.Core().V1().Nodes().Informer()
	namespaces, policies := factory.Core().V1().Namespaces(), factory.Networking().V1().NetworkPolicies()
	for informer, index := range map[cache.SharedIndexInformer]cache.IndexFunc{pods: podAddresses, nodes: nodeAddresses} {
		if err := informer.AddIndexers(cache.Indexers{byAddress: index}); err != nil {
			return nil, err
		}
	}
	result := &enforcer{
		decider: decider{
			policies:   policies.Lister(),
			namespaces: namespaces.Lister(),
			pod:        func(address netip.Addr) *core.Pod { return podWith(pods.GetIndexer(), address) },
		},
		podRange: podRange,
		isNode: func(address netip.Addr) bool {
			items, err := nodes.GetIndexer().ByIndex(byAddress, address.String())
			return err == nil && len(items) > 0
		},
		log: rate.NewLimiter(rate.Limit(10), 100),
	}
	namespaces.Informer()
	policies.Informer()
	factory.Start(ctx.Done())
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return nil, fmt.Errorf("%v cannot be listed", kind)
		}
	}
	return result, nil
}

// podAddresses returns the addresses of a pod that uses them: not of one that has ended, nor of a node's own network.
func podAddresses(item any) ([]string, error) {
	pod, ok := item.(*core.Pod)
	if !ok || pod.Spec.HostNetwork || pod.Status.Phase == core.PodSucceeded || pod.Status.Phase == core.PodFailed {
		return nil, nil
	}
	var result []string
	for _, address := range pod.Status.PodIPs {
		result = append(result, address.IP)
	}
	return result, nil
}

func nodeAddresses(item any) ([]string, error) {
	node, ok := item.(*core.Node)
	if !ok {
		return nil, nil
	}
	var result []string
	for _, address := range node.Status.Addresses {
		result = append(result, address.Address)
	}
	return result, nil
}

func podWith(pods cache.Indexer, address netip.Addr) *core.Pod {
	items, err := pods.ByIndex(byAddress, address.String())
	if err != nil || len(items) == 0 {
		return nil
	}
	pod, _ := items[0].(*core.Pod)
	return pod
}

func (e *enforcer) answer(queue *nfqueue.Nfqueue, id uint32, packet []byte) {
	verdict := nfqueue.NfDrop
	if e.passes(packet) {
		verdict = nfqueue.NfAccept
	}
	if err := queue.SetVerdict(id, verdict); err != nil {
		klog.ErrorS(err, "the kernel refused a verdict", "packet", id)
	}
}

func (e *enforcer) passes(packet []byte) bool {
	c, err := parse(packet)
	if err != nil {
		klog.ErrorS(err, "dropped")
		return false
	}
	if e.isNode(c.source) {
		return true // probes come from a node, and in this cluster the machine's own programs do
	}
	if !e.await(c.source) || !e.await(c.target) {
		e.note(c, "an address of no pod")
		return false
	}
	if refusal := e.decider.refusal(c); refusal != "" {
		e.note(c, refusal)
		return false
	}
	return true
}

// await waits until the cluster knows whose address it is, and reports whether it does.
func (e *enforcer) await(address netip.Addr) bool {
	for end := time.Now().Add(podLimit); ; time.Sleep(podInterval) {
		if !e.podRange.Contains(address) || e.isNode(address) || e.decider.pod(address) != nil {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

func (e *enforcer) note(c connection, reason string) {
	if e.log.Allow() {
		klog.InfoS("dropped", "from", e.name(c.source), "to", e.name(c.target), "protocol", c.protocol, "port", c.port,
			"because", reason)
	}
}

func (e *enforcer) name(address netip.Addr) string {
	if pod := e.decider.pod(address); pod != nil {
		return pod.Namespace + "/" + pod.Name
	}
	return address.String()
}
