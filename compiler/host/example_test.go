//go:build unix

package host_test

import (
	"fmt"
	"log"
	"os"

	"github.com/seawall/seawall/compiler/host"
)

// While one apply has the turn, another is refused.
func ExampleHost_Begin() {
	dir, err := os.MkdirTemp("", "seawall-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	turn, err := host.ThisHost().Begin(dir)
	if err != nil {
		log.Fatal(err)
	}
	_, err = host.ThisHost().Begin(dir)
	fmt.Println("refused while it lasts:", err != nil)

	turn.End()
	turn, err = host.ThisHost().Begin(dir)
	if err != nil {
		log.Fatal(err)
	}
	defer turn.End()
	fmt.Println("and free again")
	// Output:
	// refused while it lasts: true
	// and free again
}
