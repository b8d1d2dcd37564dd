// Package api is the vocabulary of no502: what is observed (Snapshot,
// Container, Network, Host, Probe), what is decided (Plan, Action,
// Finding, Verdict) and the policy that bounds it. It holds data and indices,
// imports only the standard library, and does no I/O.
package api
