// Package probe finds out what a port really speaks, and what is known about
// the machine itself.
//
// A port is asked over TCP at most twice: once with a plain HTTP request, once
// with a TLS hello. The answers are kept for as long as they can be trusted
// (see [Prober.Probe]), so that a plan made again asks nobody again.
package probe
