//go:build unix

package host_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/seawall/seawall/compiler/host"
)

// While one apply holds the lock, another one is refused.
func ExampleLock() {
	dir, err := os.MkdirTemp("", "seawall-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "lock")

	unlock, err := host.Lock(path)
	if err != nil {
		log.Fatal(err)
	}
	_, err = host.Lock(path)
	fmt.Println("refused while it is held:", err != nil)

	unlock()
	unlock, err = host.Lock(path)
	if err != nil {
		log.Fatal(err)
	}
	defer unlock()
	fmt.Println("and free again")
	// Output:
	// refused while it is held: true
	// and free again
}
