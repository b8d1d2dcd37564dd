package dockerdtest

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	containertypes "github.com/docker/docker/api/types/container"
	eventtypes "github.com/docker/docker/api/types/events"
	imagetypes "github.com/docker/docker/api/types/image"
	"github.com/docker/go-connections/nat"
)

// image is one image with its tags.
type image struct {
	id      string
	tags    []string
	created time.Time
	program Program
	config  containertypes.Config
}

// AddImage puts an image into the local store under a reference; without a tag it is "latest". A reference
// that is taken moves to the new image; containers that run keep theirs.
func (e *Engine) AddImage(ref string, img Image) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.addImage(ref, img)
}

func (e *Engine) addImage(ref string, img Image) *image {
	ref = withTag(ref)
	for _, old := range e.images {
		old.tags = slices.DeleteFunc(old.tags, func(t string) bool { return t == ref })
	}
	i := &image{id: "sha256:" + newID(), tags: []string{ref}, created: now(), program: img.Program, config: img.Config}
	e.images = append(e.images, i)
	return i
}

func withTag(ref string) string {
	if strings.Contains(ref, "@") || stripTag(ref) != ref {
		return ref
	}
	return ref + ":latest"
}

// familiar drops what Docker leaves out of references: the default registry and its library.
func familiar(ref string) string {
	ref = strings.TrimPrefix(ref, "docker.io/")
	return strings.TrimPrefix(ref, "library/")
}

// findImage looks an image up by reference, id or prefix of the id. e.mu is held.
func (e *Engine) findImage(ref string) (*image, error) {
	ref = familiar(ref)
	tagged := withTag(ref)
	hex := strings.TrimPrefix(ref, "sha256:")
	for _, i := range e.images {
		if slices.Contains(i.tags, tagged) || (len(hex) >= 4 && strings.HasPrefix(i.id, "sha256:"+hex)) {
			return i, nil
		}
	}
	return nil, errf(http.StatusNotFound, "No such image: %s", tagged)
}

func (i *image) event(e *Engine, action, name string) {
	e.events.log(eventtypes.Message{
		Status: action, ID: i.id, Type: eventtypes.ImageEventType, Action: eventtypes.Action(action),
		Actor: eventtypes.Actor{ID: i.id, Attributes: map[string]string{"name": name}},
	})
}

func (e *Engine) getImages(w http.ResponseWriter, r *http.Request) error {
	f, err := parseFilters(r, "before", "dangling", "label", "reference", "since")
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	list := []imagetypes.Summary{}
	for _, i := range slices.Backward(e.images) {
		matches := !f.Contains("reference") || slices.ContainsFunc(i.tags, func(t string) bool {
			return f.ExactMatch("reference", t) || f.ExactMatch("reference", stripTag(t))
		})
		if matches && (!f.Contains("label") || f.MatchKVList("label", i.config.Labels)) {
			list = append(list, imagetypes.Summary{
				ID: i.id, RepoTags: slices.Clone(i.tags), Created: i.created.Unix(), Labels: i.config.Labels,
				Containers: -1, SharedSize: -1,
			})
		}
	}
	writeJSON(w, http.StatusOK, list)
	return nil
}

// imageView is GET /images/{name}/json, as far as it is filled.
type imageView struct {
	ID           string `json:"Id"`
	RepoTags     []string
	RepoDigests  []string
	Created      string
	Config       *containertypes.Config
	Architecture string
	Os           string
	Size         int64
}

func (e *Engine) getImage(w http.ResponseWriter, r *http.Request) error {
	name, ok := strings.CutSuffix(r.PathValue("name"), "/json")
	if !ok {
		return errf(http.StatusNotFound, "page not found")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	i, err := e.findImage(name)
	if err != nil {
		return errf(http.StatusNotFound, "no such image: %s: %v", name, err)
	}
	writeJSON(w, http.StatusOK, imageView{
		ID: i.id, RepoTags: slices.Clone(i.tags), RepoDigests: []string{}, Created: stamp(i.created),
		Config: &i.config, Architecture: "amd64", Os: "linux",
	})
	return nil
}

// postImageCreate imports an image. There is no registry to pull from.
func (e *Engine) postImageCreate(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	if q.Get("fromSrc") == "" {
		return errf(http.StatusInternalServerError, "dockerdtest: no registry to pull %q from", q.Get("fromImage"))
	}
	if e.opts.Import == nil {
		return errf(http.StatusInternalServerError, "dockerdtest: no import of images: Options.Import is not set")
	}
	ref := q.Get("repo")
	if tag := q.Get("tag"); tag != "" {
		ref += ":" + tag
	}
	program, err := e.opts.Import(ref, r.Body)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, r.Body)
	img := Image{Program: program}
	for _, change := range q["changes"] {
		if err := applyChange(&img.Config, change); err != nil {
			return err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	i := e.addImage(ref, img)
	i.event(e, "tag", withTag(ref))
	i.event(e, "import", i.id)
	writeJSON(w, http.StatusOK, map[string]string{"status": i.id})
	return nil
}

// applyChange applies a Dockerfile instruction: CMD, ENTRYPOINT, ENV, EXPOSE or LABEL.
func applyChange(c *containertypes.Config, change string) error {
	op, rest, _ := strings.Cut(strings.TrimSpace(change), " ")
	rest = strings.TrimSpace(rest)
	list := func() []string {
		var l []string
		if json.Unmarshal([]byte(rest), &l) != nil {
			return []string{"/bin/sh", "-c", rest}
		}
		return l
	}
	k, v, _ := strings.Cut(rest, "=")
	switch strings.ToUpper(op) {
	case "CMD":
		c.Cmd = list()
	case "ENTRYPOINT":
		c.Entrypoint = list()
	case "ENV":
		c.Env = append(c.Env, k+"="+strings.Trim(v, `"`))
	case "LABEL":
		if c.Labels == nil {
			c.Labels = map[string]string{}
		}
		c.Labels[strings.Trim(k, `"`)] = strings.Trim(v, `"`)
	case "EXPOSE":
		if c.ExposedPorts == nil {
			c.ExposedPorts = nat.PortSet{}
		}
		if !strings.Contains(rest, "/") {
			rest += "/tcp"
		}
		c.ExposedPorts[nat.Port(rest)] = struct{}{}
	default:
		return errf(http.StatusBadRequest, "%s is not a valid change command", op)
	}
	return nil
}

func (e *Engine) deleteImage(w http.ResponseWriter, r *http.Request) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	ref := familiar(r.PathValue("name"))
	i, err := e.findImage(ref)
	if err != nil {
		return err
	}
	for _, c := range e.order {
		if c.image == i && !isTrue(r.FormValue("force")) {
			return errf(http.StatusConflict, "conflict: unable to remove repository reference %q (must force) - container %s is using its referenced image %s",
				ref, c.shortID(), i.id[7:19])
		}
	}
	var gone []imagetypes.DeleteResponse
	for _, t := range i.tags {
		if t == withTag(ref) || strings.HasPrefix(i.id, "sha256:"+strings.TrimPrefix(ref, "sha256:")) {
			gone = append(gone, imagetypes.DeleteResponse{Untagged: t})
			i.event(e, "untag", i.id)
		}
	}
	if len(gone) == len(i.tags) {
		e.images = slices.DeleteFunc(e.images, func(o *image) bool { return o == i })
		gone = append(gone, imagetypes.DeleteResponse{Deleted: i.id})
		i.event(e, "delete", i.id)
	} else {
		i.tags = slices.DeleteFunc(i.tags, func(t string) bool { return t == withTag(ref) })
	}
	writeJSON(w, http.StatusOK, gone)
	return nil
}
