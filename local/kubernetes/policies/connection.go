package policies

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/net/ipv4"
	core "k8s.io/api/core/v1"
)

// connection is what a policy can decide on. protocol is empty for those that have no ports, like ICMP.
type connection struct {
	source, target netip.Addr
	protocol       core.Protocol
	port           int
}

func (c connection) String() string {
	return fmt.Sprintf("%s to %s %s %d", c.source, c.target, c.protocol, c.port)
}

var errNoHeader = errors.New("the packet has no complete header")

// protocols maps the number in an IP header to the protocol's name. Each of them has its ports at the same place.
var protocols = map[int]core.Protocol{6: core.ProtocolTCP, 17: core.ProtocolUDP, 132: core.ProtocolSCTP}

// parse reads the headers of an IPv4 packet.
func parse(packet []byte) (connection, error) {
	header, err := ipv4.ParseHeader(packet)
	if err != nil {
		return connection{}, err
	}
	source, _ := netip.AddrFromSlice(header.Src.To4())
	target, _ := netip.AddrFromSlice(header.Dst.To4())
	parsed := connection{source: source, target: target, protocol: protocols[header.Protocol]}
	if parsed.protocol == "" {
		return parsed, nil
	}
	if len(packet) < header.Len+4 {
		return connection{}, errNoHeader
	}
	parsed.port = int(binary.BigEndian.Uint16(packet[header.Len+2:]))
	return parsed, nil
}
