package packet_test

import (
	"fmt"

	"github.com/seawall/seawall/compiler/packet"
)

// A protocol has one name, the one that iptables-save prints.
func ExampleProtocol_String() {
	fmt.Println(packet.TCP, packet.Protocol(4), packet.Protocol(254))
	// Output: tcp ipencap 254
}
