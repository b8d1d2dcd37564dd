package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// row is one of the table: which tests are about a fault.
type row struct {
	fault string
	tests []string // names, after "TestFault"
}

// rows are what is tried, in the order of the table.
var rows = []row{
	{"Docker Engine stopped and started, killed, also while containers are attached", []string{"EngineRestarts", "EngineKilled", "EngineKilledInTheMiddleOfAttaching"}},
	{"Engine takes 5 s for each answer; its socket is made anew", []string{"EngineSlow", "SocketRecreated"}},
	{"events cut by an idle proxy, missed by hundreds, about what is gone already", []string{"EventsCut", "ManyEventsMissed", "ContainerGoneAtItsEvent"}},
	{"NPM restarted, also in the middle of writes", []string{"NPMRestarts", "NPMRestartsMeanwhile", "NPMEndsWhileAHostIsMade"}},
	{"NPM recreated with an empty volume, or as another container", []string{"EmptyVolume", "NPMRecreatedUnderAnotherID"}},
	{"NPM answers 500, 502, 503, late, not at all, or does it and loses the answer", []string{"NPMAnswersBadly", "NPMFailsNowAndThen"}},
	{"NPM answers rubbish: cut off, no JSON, 200 with an error", []string{"NPMAnswersRubbish"}},
	{"token ends, password changes, a second factor is turned on", []string{"TokenEnds", "PasswordChanges", "SecondFactorTurnedOn"}},
	{"nginx refuses a file, or a host; a domain is another's that is not seen", []string{"BrokenFile", "NginxOffline", "DomainOfAHiddenHost", "BackWithADomainOfAHiddenHost"}},
	{"a name that nginx looks up when it loads vanishes, moves, or keeps NPM from starting", []string{
		"StaticNameVanishes", "StaticNameComesAndGoes", "StaticKilledWhileSwitchingOff", "StaticAddressChanges", "NPMIsRescued", "NPMCannotStart", "NPMCannotStartForAStranger"}},
	{"no502 killed before and after each request that changes something", []string{"KilledBetweenAnyTwoCalls"}},
	{"no502 started twice, recreated, restarted", []string{"StartedTwice", "StartedTwiceElsewhere", "RestartedIsNoTwin", "RecreatedUnderAnotherID"}},
	{"clocks jump, by seconds to years, forth and back", []string{
		"ClockJumps", "ClockJumpsAfterCreate", "ClockIsWrongForAnHeir", "ClockIsWrongForAMove", "ClockIsWrongAtStart", "ClockBeyondCertificates", "ClockNotedTheFuture"}},
	{"another tool undoes for ever what no502 does", []string{"ContestedForward", "ContestedField", "ContestedHost", "ContestedAttachment", "ContestedNetwork", "AccessListTakenAway"}},
	{"people edit a host while it is written, remove the network, swap names", []string{"EditedWhileWritten", "NetworkRemoved", "NamesChange"}},
	{"200 containers in 2 s, 1,000 events a second, crash loops, 10,000 hosts", []string{"UrgentFirst", "CrashLoop", "ManyStart", "EventStorm", "ManyHosts", "ShortLivedContainers"}},
	{"the disk is full", []string{"FullDisk"}},
	{"a real Engine 20.10 stopped, killed, with its socket made anew", []string{"RealEngine"}},
	{"64 MiB of memory for 300 services, on a real Engine", []string{"NoMemoryToSpare"}},
}

// count is what one test counted.
type count struct{ times, hosts, lost int }

// tally is what all tests did.
type tally struct {
	of     map[string]*count // by test
	failed []string
}

// said reads a line that a test prints after a fault is over and all is checked.
var checked = regexp.MustCompile(`checked after ".*": (\d+) hosts, (\d+) lost`)

func (t *tally) said(test, line string) {
	m := checked.FindStringSubmatch(line)
	if m == nil {
		return
	}
	c := t.of[test]
	if c == nil {
		c = &count{}
		t.of[test] = c
	}
	var hosts, lost int
	_, _ = fmt.Sscan(m[1]+" "+m[2], &hosts, &lost) // digits, as matched
	c.times++
	c.hosts += hosts
	c.lost += lost
}

func (t *tally) row(r row) (sum count) {
	for _, name := range r.tests {
		if c := t.of["TestFault"+name]; c != nil {
			sum.times += c.times
			sum.hosts += c.hosts
			sum.lost += c.lost
		}
	}
	return sum
}

// table is what was tried, how often, of how many hosts it was looked at
// afterwards, and how many were lost. What was not tried is left out.
func (t *tally) table() string {
	var text strings.Builder
	text.WriteString("| fault | times | hosts checked after it | lost |\n|---|---:|---:|---:|\n")
	for _, r := range rows {
		if c := t.row(r); c.times > 0 {
			fmt.Fprintf(&text, "| %s | %d | %d | %d |\n", r.fault, c.times, c.hosts, c.lost)
		}
	}
	return text.String()
}

// verdict is an error where something was lost, failed, or is in no row.
func (t *tally) verdict() error {
	var all []error
	if len(t.failed) > 0 {
		all = append(all, fmt.Errorf("failed: %s", strings.Join(t.failed, ", ")))
	}
	if len(t.of) == 0 {
		all = append(all, errors.New("no test has checked anything"))
	}
	for test, c := range t.of {
		known := slices.ContainsFunc(rows, func(r row) bool { return slices.Contains(r.tests, strings.TrimPrefix(test, "TestFault")) })
		if !known {
			all = append(all, fmt.Errorf("%s is in no row of the table", test))
		}
		if c.lost > 0 {
			all = append(all, fmt.Errorf("%s lost %d hosts", test, c.lost))
		}
	}
	return errors.Join(all...)
}
