//go:build js && wasm

// Command wasm is the compiler and the proof for the playground's worker. It puts one function
// into JavaScript, seawall, which takes a request and returns its answer, both as JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"syscall/js"

	"github.com/seawall/seawall/compiler/playground"
)

func main() {
	js.Global().Set("seawall", js.FuncOf(func(_ js.Value, args []js.Value) any {
		if len(args) != 1 || args[0].Type() != js.TypeString {
			return failure("seawall takes one request, as JSON")
		}
		return answer(args[0].String())
	}))
	select {} // the function is called until the worker ends
}

// answer answers a request. A panic is an answer too: the page shows it, and the worker stays
// of use for the next request.
func answer(request string) (text string) {
	defer func() {
		if r := recover(); r != nil {
			text = failure(fmt.Sprintf("This is a bug in Seawall. Please report it with the policy: %v", r))
		}
	}()
	return string(playground.JSON(context.Background(), []byte(request)))
}

func failure(why string) string {
	text, err := json.Marshal(playground.Answer{Findings: []playground.Finding{}, Failure: why})
	if err != nil {
		return `{"findings":[],"failure":"The answer cannot be written."}`
	}
	return string(text)
}
