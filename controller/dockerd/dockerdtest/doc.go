// Package dockerdtest is an in-process Docker Engine: its HTTP API, in the manner of net/http/httptest,
// over virtual networks in which Go functions run as containers.
//
// An image is a registered [Program]. Starting a container runs it in a goroutine of its own, in a [Box]:
// the container's network namespace as a process in it sees it. Containers reach each other as Docker lets
// them: by name on user-defined networks that they share, by address on any network that they share,
// through published ports and gateway addresses, and not at all otherwise. Connections are in memory, so
// an Engine works inside a testing/synctest bubble.
//
//	e := dockerdtest.New(dockerdtest.Options{})
//	defer e.Close()
//	e.Register("web:1", func(ctx context.Context, box *dockerdtest.Box) int { … })
//	cli, err := client.NewClientWithOpts(client.WithHTTPClient(e.Client()), client.WithAPIVersionNegotiation())
//
// The answers, states, events, error texts and the order in which addresses are handed out are those of
// Docker Engine 20.10 (API 1.41). The package's conformance test runs one sequence of calls on this Engine and
// on a real one and compares; testdata holds a real Engine's recorded answers. Where a comment says
// "the Engine", it means the recorded one.
package dockerdtest
