package inventory

import (
	"context"
	"fmt"

	"github.com/compose-spec/compose-go/v2/cli"
)

// FromCompose reads the published ports of a compose file. Its environment files and variables
// apply as in docker compose.
func FromCompose(ctx context.Context, path string) ([]Port, error) {
	options, err := cli.NewProjectOptions([]string{path}, cli.WithOsEnv, cli.WithDotEnv, cli.WithName("seawall"))
	if err != nil {
		return nil, err
	}
	project, err := options.LoadProject(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var list []Port
	for name, s := range project.Services {
		if s.NetworkMode == "host" {
			continue // nothing is published
		}
		for _, p := range s.Ports {
			first, last, ok := portRange(p.Published)
			if !ok {
				continue // published on a port that the engine picks at startup
			}
			protocol := p.Protocol
			if protocol == "" {
				protocol = "tcp"
			}
			list = append(list, Port{Container: name, Image: s.Image, Address: hostAddress(p.HostIP), First: first, Last: last, Protocol: protocol})
		}
	}
	return tidy(list), nil
}
