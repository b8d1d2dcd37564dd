package dockerdtest

import (
	"time"

	containertypes "github.com/docker/docker/api/types/container"
	networktypes "github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"
)

// App is a container in a few words, for tests that do not know Docker's types.
type App struct {
	Image    string
	Labels   map[string]string
	Networks []string // the first is the one that it is created on
	Expose   []string // "8080"
	Health   bool     // it has a HEALTHCHECK; SetHealth decides what it says
}

// AddApp is AddContainer for an App.
func (e *Engine) AddApp(name string, a App) (id string, err error) {
	req := containertypes.CreateRequest{
		Config:     &containertypes.Config{Image: a.Image, Labels: a.Labels, ExposedPorts: nat.PortSet{}},
		HostConfig: &containertypes.HostConfig{},
		NetworkingConfig: &networktypes.NetworkingConfig{
			EndpointsConfig: map[string]*networktypes.EndpointSettings{},
		},
	}
	for _, port := range a.Expose {
		req.ExposedPorts[nat.Port(port+"/tcp")] = struct{}{}
	}
	if a.Health {
		req.Healthcheck = &containertypes.HealthConfig{Test: []string{"CMD", "check"}, Interval: 24 * time.Hour}
	}
	for i, network := range a.Networks {
		if i == 0 {
			req.HostConfig.NetworkMode = containertypes.NetworkMode(network)
		}
		req.NetworkingConfig.EndpointsConfig[network] = &networktypes.EndpointSettings{}
	}
	return e.AddContainer(name, req)
}
