package stage

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
)

// Dialer connects from inside a container: through a process of its own in
// there, `no502 demo dial ADDR`, whose standard input and output are the
// connection.
func (s *Stage) Dialer(from string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, _, addr string) (net.Conn, error) {
		made, err := s.docker.ContainerExecCreate(ctx, from, container.ExecOptions{
			Cmd:         []string{Binary, "demo", "dial", addr},
			AttachStdin: true, AttachStdout: true, AttachStderr: true,
		})
		if err != nil {
			return nil, fmt.Errorf("dial %s from %s: %w", addr, from, err)
		}
		stream, err := s.docker.ContainerExecAttach(ctx, made.ID, container.ExecAttachOptions{})
		if err != nil {
			return nil, fmt.Errorf("dial %s from %s: %w", addr, from, err)
		}
		out, w := io.Pipe()
		go func() {
			_, err := stdcopy.StdCopy(w, io.Discard, stream.Reader)
			w.CloseWithError(err)
		}()
		return &tunnel{Reader: out, out: out, stream: stream, addr: addr}, nil
	}
}

// tunnel is a connection through a process in a container.
type tunnel struct {
	io.Reader
	out    *io.PipeReader
	stream types.HijackedResponse
	addr   string
}

func (t *tunnel) Write(p []byte) (int, error) { return t.stream.Conn.Write(p) }

func (t *tunnel) Close() error {
	t.stream.Close()
	return t.out.Close()
}

func (t *tunnel) LocalAddr() net.Addr                { return address("exec") }
func (t *tunnel) RemoteAddr() net.Addr               { return address(t.addr) }
func (t *tunnel) SetDeadline(time.Time) error        { return nil } // callers bound requests by context
func (t *tunnel) SetReadDeadline(time.Time) error    { return nil }
func (t *tunnel) SetWriteDeadline(d time.Time) error { return t.stream.Conn.SetWriteDeadline(d) }

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }
