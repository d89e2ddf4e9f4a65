package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// onePath takes at most one PATH.
func onePath(c *cobra.Command, args []string) error {
	if len(args) < 2 {
		return nil
	}
	return fmt.Errorf("%s takes one PATH, not %d: %s. To read several policy files, name their folder", c.CommandPath(), len(args), strings.Join(args, ", "))
}

// noPath takes no argument; use says how a file is named instead, or is "".
func noPath(use string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return nil
		case use == "":
			return fmt.Errorf("%s takes no argument, not %s", c.CommandPath(), strings.Join(args, ", "))
		}
		return fmt.Errorf("%s takes no argument, not %s. %s", c.CommandPath(), strings.Join(args, ", "), use)
	}
}

// between takes from low to high arguments, which what names: "OLD and NEW".
func between(low, high int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < low || len(args) > high {
			return fmt.Errorf("%s takes %s, not %d arguments", c.CommandPath(), what, len(args))
		}
		return nil
	}
}
