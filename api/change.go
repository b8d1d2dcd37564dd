package api

// Change is an action that somebody did, or tried to.
type Change struct {
	Action
	By       Actor
	Instance string   // of no502; empty where it was somebody else
	Domains  []string // of the host, as it was or is
	// Err says why the action did not come through, or is not known to have.
	Err error
}

// Actor is who did something.
type Actor string

// The actors.
const (
	No502    Actor = "no502"
	Undo     Actor = "undo"     // `no502 undo`, by which a person gives a host back
	Somebody Actor = "somebody" // in NPM: a person, or another tool
)
