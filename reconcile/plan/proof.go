package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/no502/no502/api"
)

// proofPatience is how long after a write visitors may get an error yet: nginx
// loads in the background, and remembers names for 10 s.
const proofPatience = 15 * time.Second

// proofPauses are those between a write and its first proof, by which nginx has
// loaded (measured: 95 to 350 ms after NPM's answer), and between further ones.
var proofPauses = api.Backoff{First: time.Second, Last: 5 * time.Minute}

// proof wants to see, after each write, that visitors get by way of NPM what the
// backend gives, and says why not.
func (j *judgement) proof() {
	pr, wanted := j.s.Proving[j.v.Key]
	if !wanted || j.v.Key.Kind != api.KindHost || !j.act || j.v.Resolved.Status != api.True || j.v.Ready.Status != api.True || j.v.InSync.Status != api.True ||
		j.h.Online != nil && !*j.h.Online || len(j.because) > 0 {
		return
	}
	tried := !pr.Asked.IsZero()
	if tried && pr.Proof.Works() {
		j.set(&j.v.Served, api.True, "", fmt.Sprintf("NPM answers %d", pr.Proof.Through.Status))
		return
	}
	next := pr.Since.Add(proofPauses.First)
	if tried {
		next = pr.Asked.Add(proofPauses.After(pr.Tries + 1))
	}
	if j.s.Now.Before(next) {
		j.due(next)
	} else if t, ok := j.proofTarget(); ok {
		j.plan.Wants.Proofs = append(j.plan.Wants.Proofs, t)
	}
	if tried && pr.Asked.Sub(pr.Since) >= proofPatience {
		j.unproven(pr)
	}
}

func (j *judgement) proofTarget() (t api.ProofTarget, ok bool) {
	t = api.ProofTarget{Host: j.v.Key, HTTP: j.t.Front(j.s, 80), HTTPS: j.t.Front(j.s, 443), TLS: j.h.Forward.Scheme == "https"}
	// A name that a wildcard stands for is as good as any other.
	t.Domain = strings.ReplaceAll(j.h.Domain(), "*", "no502-probe")
	at, _ := api.HostAddr(j.h.Forward.Host) // a process on the machine
	if len(j.v.Addresses) > 0 {
		at = j.v.Addresses[0]
	}
	t.Direct = netip.AddrPortFrom(at, j.h.Forward.Port)
	return t, t.HTTP.IsValid() && t.Direct.IsValid() && api.IsForwardHost(t.Domain)
}

// unproven says what visitors get, and why as far as that is known. Where nginx
// does not serve what NPM shows as saved, saving once more may help.
func (j *judgement) unproven(pr api.Proving) {
	got, direct := describe(pr.Proof.Through), describe(pr.Proof.Direct)
	if pr.Proof.Default {
		got = fmt.Sprintf("NPM's default page (%s)", got)
	}
	f := api.Finding{
		Code:    api.StillFails,
		Message: fmt.Sprintf("NPM forwards to %s, which answers no502 with %s, but visitors of %s get %s", j.h.Forward, direct, j.v.Name, got),
		Fix:     fmt.Sprintf("see why in NPM's log proxy-host-%s_error.log; no502 goes on looking", j.v.Key.ID),
	}
	if pr.Proof.Log != "" {
		f.Message += ": nginx says " + pr.Proof.Log
	}
	stream := j.blocking()
	switch {
	case stream != nil:
		f.Code = api.ReloadStuck
		f.Message = fmt.Sprintf("visitors of %s get %s, since nginx does not load what NPM writes any more, though NPM shows it as saved: the stream on port %d takes a port of NPM's own",
			j.v.Name, got, stream.Fields().Int(api.FieldIncoming))
		f.Fix = "delete that stream in NPM"
	case pr.Proof.Default:
		f.Code = api.NotServed
		f.Message = fmt.Sprintf("NPM shows %s as saved, but nginx does not serve it: visitors get %s", j.v.Name, got)
		f.Fix = fmt.Sprintf("see why: docker logs --tail 50 %s; or save the host in NPM", j.t.NPM.Name)
		if !pr.Resaved {
			j.resave(f, j.act, "no502 saves the host again", f.Fix)
			j.set(&j.v.Served, api.False, f.Code, f.Message)
			return
		}
	}
	j.fail(&j.v.Served, f)
}

func describe(a api.Answer) string { return cmp.Or(a.Err, fmt.Sprint(a.Status)) }

// blocking is a stream on a port of NPM's own. It passes nginx's test and cannot
// be bound, and from then on nothing that NPM writes takes effect (measured on
// 2.15.1 and 2.13.7).
func (j *judgement) blocking() *api.Host {
	for _, h := range j.s.NPM.OfKind(api.KindStream) {
		if f := h.Fields(); h.Enabled && f.Bool(api.FieldTCP) && api.IsNPMsPort(f.Int(api.FieldIncoming)) {
			return h
		}
	}
	return nil
}
