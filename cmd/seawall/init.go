package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/moby/moby/client"
	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/inventory"
	"github.com/seawall/seawall/schema"
	"github.com/spf13/cobra"
)

func initCommand() *cobra.Command {
	p := &policyFlags{}
	var in []string
	inspect, compose, check, address := "", "", "", ""
	c := &cobra.Command{
		Use:   "init",
		Short: "Write a first policy from what a host publishes",
		Long: `Write a first policy to standard output, from the running Docker daemon, a compose
file, or the output of docker inspect: one policy per container, with the ports that
it publishes, open to everybody as they are today, and marked for a decision.

With --check, compare published ports with a policy instead. Reported are published
ports that the policy does not name on every address, in both families and on every
external interface of the policy and of the host, and ports of the policy that no
container publishes. Exit 2 if there are any. Ports that are published only on
127.0.0.1 or ::1 need no policy. If the host block names bridges, every container
network whose interface they do not cover is reported too, because it is open. The
networks come from the daemon, or from --inspect.`,
		Example: `  seawall init > policy.hcl
  seawall init --compose compose.yaml > policy.hcl
  docker inspect $(docker ps -q) | seawall init --inspect - --in eth0
  seawall init --check policy.hcl`,
		Args: noPath("Compose files are named with --compose, the output of docker inspect with --inspect, a policy with --check"),
		RunE: func(c *cobra.Command, args []string) error {
			var ports []inventory.Port
			var networks networks
			err := checkInterfaces(in)
			switch {
			case err != nil:
			case inspect != "" && compose != "":
				return fmt.Errorf("use either --inspect or --compose, not both")
			case inspect != "":
				var src []byte
				if src, _, err = readInput(c, inspect, takesInspect); err == nil {
					ports, err = inventory.FromInspect(src)
				}
				networks = networksIn(src)
			case compose != "":
				ports, err = fromCompose(c.Context(), compose)
			default:
				ports, err = fromDaemon(address)
				networks = networksAt(address)
			}
			if err != nil {
				return err
			}
			if check != "" {
				if len(in) == 0 && inspect == "" && compose == "" {
					in = defaultInterfaces() // those of this host, whose ports they are
				}
				return checkInventory(c, p, check, ports, networks, in)
			}
			if len(in) == 0 {
				in = defaultInterfaces()
			}
			_, err = c.OutOrStdout().Write(inventory.Policy(ports, in))
			return err
		},
	}
	p.register(c)
	c.Flags().StringVar(&inspect, "inspect", "", "read a `FILE` of docker inspect, or - for standard input")
	c.Flags().StringVar(&compose, "compose", "", "read a compose `FILE`")
	c.Flags().StringVar(&address, "docker", "", "the daemon's `ADDRESS`, such as unix:///var/run/docker.sock (default as for docker)")
	c.Flags().StringVar(&check, "check", "", "compare with the policy at `PATH`, and write nothing")
	c.Flags().StringArrayVar(&in, "in", nil, "an `INTERFACE` on which traffic from outside arrives (default those of the default routes)")
	return c
}

// maxCompose is how many bytes a compose file may have.
const maxCompose = 16 << 20

// fromCompose reads a compose file that the user named.
func fromCompose(ctx context.Context, name string) ([]inventory.Port, error) {
	info, err := os.Stat(name)
	if err != nil || info.IsDir() {
		return nil, cannotRead(name, err, takesCompose)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("cannot read %s: it is not a regular file. %s", oneLine(name), takesCompose)
	}
	if info.Size() > maxCompose {
		return nil, fmt.Errorf("%s is larger than %d MiB, the limit for a compose file", oneLine(name), maxCompose>>20)
	}
	return inventory.FromCompose(ctx, name)
}

// dockerClient speaks to the daemon at an address, or to docker's own default.
func dockerClient(address string) (*client.Client, error) {
	options := []client.Opt{client.FromEnv}
	if address != "" {
		options = append(options, client.WithHost(address))
	}
	return client.New(options...)
}

// fromDaemon asks the daemon for its containers.
func fromDaemon(address string) ([]inventory.Port, error) {
	api, err := dockerClient(address)
	if err != nil {
		return nil, fmt.Errorf("the Docker daemon: %w", err)
	}
	defer func() { _ = api.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	list, err := api.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		return nil, fmt.Errorf("%w\n\nName a saved docker inspect with --inspect, or a compose file with --compose", err)
	}
	var all []json.RawMessage
	for _, x := range list.Items {
		one, err := api.ContainerInspect(ctx, x.ID, client.ContainerInspectOptions{})
		if err != nil {
			return nil, err
		}
		raw := one.Raw
		if raw == nil {
			if raw, err = json.Marshal(one.Container); err != nil {
				return nil, err
			}
		}
		all = append(all, raw)
	}
	src, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	return inventory.FromInspect(src)
}

// networks looks for the container networks, once somebody wants to know them; nil
// where nothing says them.
type networks func(context.Context) ([]docker.KnownNetwork, error)

// networksIn are the networks that docker inspect printed.
func networksIn(src []byte) networks {
	return func(context.Context) ([]docker.KnownNetwork, error) {
		k, err := docker.ParseInspect(src)
		if err != nil {
			return nil, err
		}
		return k.Networks, nil
	}
}

// networksAt are the networks of the daemon at an address.
func networksAt(address string) networks {
	return func(ctx context.Context) ([]docker.KnownNetwork, error) {
		api, err := dockerClient(address)
		if err != nil {
			return nil, fmt.Errorf("the Docker daemon: %w", err)
		}
		defer func() { _ = api.Close() }()
		list, err := networksOf(ctx, api)
		if err != nil {
			return nil, fmt.Errorf("the Docker daemon does not list its networks: %w", err)
		}
		src, err := json.Marshal(append([]json.RawMessage{}, list...))
		if err != nil {
			return nil, err
		}
		return networksIn(src)(ctx)
	}
}

// openNetworks writes the networks that the policy's bridges leave open, or a note where
// none is known.
func openNetworks(c *cobra.Command, out io.Writer, doc *schema.Document, find networks) error {
	if len(doc.Host.Bridges) == 0 {
		return nil
	}
	var known []docker.KnownNetwork
	if find != nil {
		var err error
		if known, err = find(c.Context()); err != nil {
			return err
		}
	}
	if len(known) == 0 {
		fmt.Fprintln(c.ErrOrStderr(), "Note: the container networks are not known, so it was not checked whether bridges covers them. docker inspect $(docker ps -q) $(docker network ls -q) prints them.")
	}
	for _, n := range inventory.Open(known, doc) {
		fmt.Fprintf(out, "network %q is open: the host's bridges do not cover its interface %q\n", n.Name, n.Bridge)
	}
	return nil
}

func checkInventory(c *cobra.Command, p *policyFlags, path string, ports []inventory.Port, find networks, interfaces []string) error {
	loaded, err := p.load(c, []string{path})
	if err != nil {
		return err
	}
	gaps := inventory.Check(ports, loaded.Document, interfaces...)
	var b bytes.Buffer
	for _, x := range gaps.Unnamed {
		fmt.Fprintln(&b, x)
	}
	for _, x := range gaps.Unpublished {
		fmt.Fprintf(&b, "policy %s (%s:%d): %s\n", x.Policy.Name, filepath.ToSlash(x.Policy.Range.Filename), x.Policy.Range.Start.Line, x)
	}
	if err := openNetworks(c, &b, loaded.Document, find); err != nil {
		return err
	}
	if b.Len() > 0 {
		if _, err := io.Copy(c.OutOrStdout(), &b); err != nil {
			return err
		}
		return exitCode(exitDiffers)
	}
	fmt.Fprintf(c.OutOrStdout(), "%d published ports, each covered by a policy; every policy has one.\n", len(ports))
	return nil
}
