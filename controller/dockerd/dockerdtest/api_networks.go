package dockerdtest

import (
	"net/http"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/filters"
	networktypes "github.com/docker/docker/api/types/network"
)

func (e *Engine) getNetworks(w http.ResponseWriter, r *http.Request) error {
	f, err := parseFilters(r, "dangling", "driver", "id", "label", "name", "scope", "type")
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	list := []networktypes.Inspect{}
	for _, nw := range e.networks {
		if nw.matches(f) {
			v := nw.inspect()
			v.Containers = map[string]networktypes.EndpointResource{} // only inspect lists them
			list = append(list, v)
		}
	}
	writeJSON(w, http.StatusOK, list)
	return nil
}

func (nw *network) matches(f filters.Args) bool {
	kind := "custom"
	if !nw.userDefined() {
		kind = "builtin"
	}
	return (!f.Contains("name") || f.Match("name", nw.name)) &&
		(!f.Contains("id") || f.Match("id", nw.id)) &&
		(!f.Contains("driver") || f.ExactMatch("driver", nw.driver)) &&
		(!f.Contains("scope") || f.ExactMatch("scope", "local")) &&
		(!f.Contains("type") || f.ExactMatch("type", kind)) &&
		(!f.Contains("label") || f.MatchKVList("label", nw.request.Labels))
}

func (e *Engine) getNetwork(w http.ResponseWriter, r *http.Request) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	nw, err := e.findNetwork(r.PathValue("id"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, nw.inspect())
	return nil
}

// inspect is the network as the API shows it. Measured: a subnet given without a gateway is shown without
// one, although the network has it.
func (nw *network) inspect() networktypes.Inspect {
	v := networktypes.Inspect{
		Name: nw.name, ID: nw.id, Created: nw.created, Scope: "local", Driver: nw.driver,
		EnableIPv4: true,
		IPAM:       networktypes.IPAM{Driver: "default", Config: []networktypes.IPAMConfig{}},
		Internal:   nw.internal, Attachable: nw.request.Attachable,
		Containers: map[string]networktypes.EndpointResource{},
		Options:    cloneMap(nw.request.Options), Labels: cloneMap(nw.request.Labels),
	}
	switch {
	case nw.chosen:
		v.IPAM.Config = slices.Clone(nw.request.IPAM.Config)
		v.IPAM.Options = nw.request.IPAM.Options
	case nw.name == "bridge":
		v.IPAM.Config = append(v.IPAM.Config, networktypes.IPAMConfig{Subnet: nw.subnet.String()})
	case nw.bridge():
		v.IPAM.Config = append(v.IPAM.Config, networktypes.IPAMConfig{Subnet: nw.subnet.String(), Gateway: nw.gateway.String()})
	}
	for id, ep := range nw.active {
		res := networktypes.EndpointResource{Name: ep.container.name, EndpointID: ep.id}
		if ep.addr.IsValid() {
			res.MacAddress, res.IPv4Address = ep.mac(), ep.addr.String()+"/"+itoa(nw.subnet.Bits())
		}
		v.Containers[id] = res
	}
	return v
}

func (e *Engine) postNetworkCreate(w http.ResponseWriter, r *http.Request) error {
	var req networktypes.CreateRequest
	if err := readJSON(r, &req); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	checked := (req.CheckDuplicate != nil && *req.CheckDuplicate) || e.atLeast("1.44")
	switch {
	case req.Name == "" && checked: // as measured
		return errf(http.StatusConflict, "network with name %s already exists", req.Name)
	case strings.TrimSpace(req.Name) == "":
		return errf(http.StatusInternalServerError, "invalid name: %s", req.Name)
	case req.Name == "bridge" || req.Name == "host" || req.Name == "none":
		return errf(http.StatusForbidden, "operation is not permitted on predefined %s network ", req.Name)
	}
	for _, nw := range e.networks {
		if checked && nw.name == req.Name {
			return errf(http.StatusConflict, "network with name %s already exists", req.Name)
		}
	}
	if req.Driver != "" && req.Driver != "bridge" {
		return errf(http.StatusNotFound, "plugin %q not found", req.Driver)
	}
	nw, err := e.addNetwork(req.Name, "bridge", req.CreateOptions)
	if err != nil {
		return err
	}
	nw.event("create", nil)
	writeJSON(w, http.StatusCreated, networktypes.CreateResponse{ID: nw.id})
	return nil
}

func (e *Engine) postConnect(w http.ResponseWriter, r *http.Request) error {
	var req networktypes.ConnectOptions
	if err := readJSON(r, &req); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	nw, err := e.findNetwork(r.PathValue("id"))
	if err != nil {
		return err
	}
	c, err := e.find(req.Container)
	if err != nil {
		return err
	}
	return e.connect(nw, c, req.EndpointConfig)
}

func (e *Engine) postDisconnect(w http.ResponseWriter, r *http.Request) error {
	var req networktypes.DisconnectOptions
	if err := readJSON(r, &req); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	nw, noNetwork := e.findNetwork(r.PathValue("id"))
	if noNetwork != nil && !req.Force {
		return noNetwork
	}
	c, err := e.find(req.Container)
	switch {
	case err != nil && req.Force:
		return errf(http.StatusNotFound, "endpoint %s not found", req.Container)
	case err != nil:
		return err
	case noNetwork != nil:
		return errf(http.StatusInternalServerError, "container %s is not connected to the network %s", c.id, r.PathValue("id"))
	}
	return e.disconnect(nw, c)
}

func (e *Engine) deleteNetwork(w http.ResponseWriter, r *http.Request) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	nw, err := e.findNetwork(r.PathValue("id"))
	if err != nil {
		return err
	}
	if err := e.removeNetwork(nw); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// parseFilters reads the filters parameter and refuses unknown ones, with the Engine's answers.
func parseFilters(r *http.Request, known ...string) (filters.Args, error) {
	f, err := filters.FromJSON(r.FormValue("filters"))
	if err != nil {
		return f, errf(http.StatusInternalServerError, "%v", err)
	}
	for _, k := range f.Keys() {
		if !slices.Contains(known, k) {
			return f, errf(http.StatusBadRequest, "Invalid filter '%s'", k)
		}
	}
	return f, nil
}
