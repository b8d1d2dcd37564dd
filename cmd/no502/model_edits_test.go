package main

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
)

var (
	domainPool = pool("d%d.example.com", 16)
	portPool   = pool("2556%d", 4)
)

func pool(format string, n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf(format, i))
	}
	return all
}

// edited edits one label of a service, and says which.
func (m *model) edited(s *modelService, which, n int) string {
	name := []string{"", "admin"}[n%2]
	r := s.routes[name]
	n /= 2
	edits := []func() string{
		func() string { return "host+" + m.grow(&r.domains, n) },
		func() string { return "host-" + shrink(&r.domains, n) },
		func() string { return m.option(r, n) },
		func() string { return m.option(r, n) },
		func() string { r.port = []int{0, 8080, 9000}[n%3]; return fmt.Sprint("port=", r.port) },
		func() string { return m.location(s, r, n) },
		func() string {
			if n%3 == 0 {
				return "redirect-from-" + shrink(&r.from, n)
			}
			return "redirect-from+" + m.grow(&r.from, n)
		},
		func() string {
			r.to = []string{"", "elsewhere.example.org"}[n%2]
			r.code = []int{0, http.StatusFound, http.StatusPermanentRedirect}[n%3]
			return fmt.Sprintf("redirect-to=%s redirect-code=%d", r.to, r.code)
		},
		func() string {
			if n%3 == 0 {
				return "parked-" + shrink(&r.parked, n)
			}
			return "parked+" + m.grow(&r.parked, n)
		},
		func() string { return m.stream(s.routes["tcp"], n) },
		func() string { s.onStop = []string{"", "disable", "delete"}[n%3]; return "on-stop=" + s.onStop },
		func() string { s.onRemove = []string{"", "keep", "delete"}[n%3]; return "on-remove=" + s.onRemove },
	}
	return name + " " + edits[which%len(edits)]()
}

func (m *model) grow(list *[]string, n int) string {
	domain := m.unused(n, domainPool)
	if domain != "" && len(*list) < 3 {
		*list = append(slices.Clone(*list), domain)
	}
	return domain
}

func shrink(list *[]string, n int) string {
	if len(*list) == 0 {
		return ""
	}
	i := n % len(*list)
	domain := (*list)[i]
	*list = slices.Delete(slices.Clone(*list), i, i+1)
	return domain
}

func (m *model) option(r *modelRoute, n int) string {
	o := modelOptions[n%len(modelOptions)]
	if value, said := r.options[o.label]; said && n/4%2 == 0 {
		delete(r.options, o.label)
		return "not " + o.label
	} else if said {
		r.options[o.label] = !value
	} else {
		r.options[o.label] = n/8%2 == 0
	}
	return fmt.Sprintf("%s=%t", o.label, r.options[o.label])
}

func (m *model) location(s *modelService, r *modelRoute, n int) string {
	if r.location != "" {
		r.location = ""
		return "no location"
	}
	r.location, r.strip = s.name, n%2 == 0
	if s.project == "shop" && n%3 > 0 {
		r.location = map[string]string{"web": "api", "api": "web"}[s.name]
	}
	return "location to " + r.location
}

func (m *model) stream(r *modelRoute, n int) string {
	if r.stream != 0 && n%2 == 0 {
		r.stream, r.port = 0, 0
		return "no stream"
	}
	if free := m.unused(n, portPool); free != "" {
		r.stream, _ = strconv.Atoi(free)
		r.port = []int{8080, 9000}[n%2]
	}
	return fmt.Sprint("stream=", r.stream)
}
