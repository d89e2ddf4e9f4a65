package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/host"
	"github.com/spf13/cobra"
)

// daemonAnswers is how long the daemon has to answer. What it says is of use, and
// nothing depends on it.
const daemonAnswers = 5 * time.Second

// readKnown reads a file of docker inspect that the user named; nil without one.
func readKnown(c *cobra.Command, name string) (*docker.Known, error) {
	if name == "" {
		return nil, nil
	}
	src, shown, err := readInput(c, name, takesInspect)
	if err != nil {
		return nil, err
	}
	k, err := docker.ParseInspect(src)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", shown, err)
	}
	return k, nil
}

// askDaemon asks the daemon of this host for its containers and networks; nil when none
// answers.
func askDaemon(ctx context.Context) *docker.Known {
	api, err := dockerClient("")
	if err != nil {
		return nil
	}
	defer func() { _ = api.Close() }()
	ctx, cancel := context.WithTimeout(ctx, daemonAnswers)
	defer cancel()
	var src bytes.Buffer
	for _, ask := range []func(context.Context, *client.Client) ([]json.RawMessage, error){containersOf, networksOf} {
		list, err := ask(ctx, api)
		if err != nil {
			return nil
		}
		if err := json.NewEncoder(&src).Encode(append([]json.RawMessage{}, list...)); err != nil {
			return nil
		}
	}
	k, err := docker.ParseInspect(src.Bytes())
	if err != nil {
		return nil
	}
	if info, err := api.Info(ctx, client.InfoOptions{}); err == nil {
		k.Version = info.Info.ServerVersion
		if b := info.Info.FirewallBackend; b != nil {
			k.Nftables = b.Driver == "nftables"
		}
	}
	k.Raw, k.Direct = host.DockerDrops()
	return k
}

// containersOf are the daemon's running containers, as docker inspect prints them.
func containersOf(ctx context.Context, api *client.Client) ([]json.RawMessage, error) {
	list, err := api.ContainerList(ctx, client.ContainerListOptions{})
	if err != nil {
		return nil, err
	}
	var all []json.RawMessage
	for _, x := range list.Items {
		one, err := api.ContainerInspect(ctx, x.ID, client.ContainerInspectOptions{})
		if errdefs.IsNotFound(err) {
			continue // it has ended in the meantime
		}
		if err != nil {
			return nil, err
		}
		if all, err = appendRaw(all, one.Raw, one.Container); err != nil {
			return nil, err
		}
	}
	return all, ctx.Err()
}

// networksOf are its networks, as docker network inspect prints them.
func networksOf(ctx context.Context, api *client.Client) ([]json.RawMessage, error) {
	list, err := api.NetworkList(ctx, client.NetworkListOptions{})
	if err != nil {
		return nil, err
	}
	var all []json.RawMessage
	for _, x := range list.Items {
		one, err := api.NetworkInspect(ctx, x.ID, client.NetworkInspectOptions{})
		if errdefs.IsNotFound(err) {
			continue // it was removed in the meantime
		}
		if err != nil {
			return nil, err
		}
		if all, err = appendRaw(all, one.Raw, one.Network); err != nil {
			return nil, err
		}
	}
	return all, ctx.Err()
}

// appendRaw appends the JSON that came, or that of what it was read as.
func appendRaw(list []json.RawMessage, raw json.RawMessage, read any) ([]json.RawMessage, error) {
	if raw == nil {
		var err error
		if raw, err = json.Marshal(read); err != nil {
			return nil, err
		}
	}
	return append(list, raw), nil
}
