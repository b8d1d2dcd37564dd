package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/intent"
	"github.com/no502/no502/reconcile/intent/dialect"
)

// What becomes of hosts that people made by hand.
const (
	takeOverClaimed = "claimed"
	takeOverNever   = "never"
)

// settings are what an operator can say, as flags or as their environment
// twins: --npm-url is NO502_NPM_URL.
type settings struct {
	dockerHost      string
	npmURL          string
	npmEmail        string
	npmPassword     string
	npmPasswordFile string
	npmTOTPFile     string
	npmCAFile       string
	npmInsecure     bool
	npmContainer    string
	npmData         string
	network         string
	scope           string
	mode            string
	labelPrefix     string
	instance        string
	hostAddresses   []string
	hostProc        string
	poll            time.Duration
	resync          time.Duration
	listen          string
	stateDir        string
	logLevel        string
	logFormat       string

	defaults       map[string]string
	dialects       []string
	takeOver       string
	allowSnippets  bool
	allowedDomains []string
	maxDeletes     int
	dnsCredentials string
}

func (s *settings) bind(f *pflag.FlagSet) {
	f.StringVar(&s.dockerHost, "docker-host", "", "the Docker Engine, as in DOCKER_HOST (default: Docker's own environment)")
	f.StringVar(&s.npmURL, "npm-url", "", "NPM's admin URL, e.g. http://npm:81 (default: found from its container)")
	f.StringVar(&s.npmEmail, "npm-email", "", "the e-mail address with which no502 logs in to NPM")
	f.StringVar(&s.npmPassword, "npm-password", "", "its password; rather use --npm-password-file")
	f.StringVar(&s.npmPasswordFile, "npm-password-file", "", "a file that holds the password, read again when NPM refuses it")
	f.StringVar(&s.npmTOTPFile, "npm-totp-file", "", "a file that holds the secret of its second factor, in base32 or as an otpauth:// URI, if it has one")
	f.StringVar(&s.npmCAFile, "npm-ca-file", "", "a PEM file with the CA of NPM's certificate, where --npm-url is https and no public CA issued it")
	f.BoolVar(&s.npmInsecure, "npm-insecure", false, "do not verify NPM's certificate")
	f.StringVar(&s.npmContainer, "npm-container", "", "name of NPM's container (default: found by its image or the label role=proxy)")
	f.StringVar(&s.npmData, "npm-data", "/npm", "where NPM's /data is mounted read-only, to notice edits at once; optional")
	f.StringVar(&s.network, "network", "", "the network to attach backends to (default: the one NPM shares with others, else no502's own)")
	f.StringVar(&s.scope, "scope", string(api.ScopeLabelled), `which containers are opted in: "labelled" or "all"`)
	f.StringVar(&s.mode, "mode", string(api.ModeRepair), `"repair", or "observe": report and change nothing`)
	f.StringVar(&s.labelPrefix, "label-prefix", "no502", "prefix of the labels")
	f.StringVar(&s.instance, "instance", "no502", "name of this no502 in NPM's records, where several share one NPM")
	f.StringSliceVar(&s.hostAddresses, "host-addresses", nil, "addresses of this machine, e.g. 192.168.1.20 (default: found where they can be proven)")
	f.StringVar(&s.hostProc, "host-proc", "/host/proc", "where the machine's /proc is mounted read-only, to tell its addresses and who listens where; optional")
	f.DurationVar(&s.poll, "poll", 15*time.Second, "how often NPM is asked for edits when its data directory is not mounted")
	f.DurationVar(&s.resync, "resync", 5*time.Minute, "how often everything is looked at again")
	f.StringVar(&s.stateDir, "state-dir", "", "a directory that holds the journal of changes (default: "+stateMount+", where that is mounted)")
	f.StringVar(&s.listen, "listen", "", "address of the status port, which then answers everybody who reaches it (default: :8502 in a container, for it and the networks that it shares with NPM; elsewhere 127.0.0.1:8502)")
	f.StringSliceVar(&s.dialects, "dialects", nil, "other tools whose labels are read as well: "+strings.Join(dialect.Names(), ", "))
	f.StringVar(&s.takeOver, "take-over", takeOverClaimed, `hosts that people made by hand: "claimed" are taken over by labels that claim their domain, or "never"`)
	f.StringSliceVar(&s.allowedDomains, "allowed-domains", nil, `what labels may claim, e.g. "*.example.com", or of one Compose project "shop=*.shop.example.com" (default: anything)`)
	f.BoolVar(&s.allowSnippets, "allow-snippets", false, "let labels write raw nginx configuration (advanced-config)")
	f.IntVar(&s.maxDeletes, "max-deletes", 5, "how many hosts may be deleted between two resyncs; more wait for a person")
	f.StringVar(&s.dnsCredentials, "dns-credentials", "", "a directory with a file PROVIDER.ini for each DNS provider of Let's Encrypt's challenges")
	f.StringVar(&s.logLevel, "log-level", "info", `"info" or "debug"`)
	f.StringVar(&s.logFormat, "log-format", "text", `"text" or "json"`)
}

// command makes a subcommand that takes the settings.
func command(cmd *cobra.Command, run func(*cobra.Command, settings) error) *cobra.Command {
	var s settings
	s.bind(cmd.Flags())
	if cmd.Args == nil {
		cmd.Args = cobra.NoArgs
	}
	cmd.Long = strings.TrimSpace(cmd.Long + "\n\nEvery flag has an environment twin: --npm-url is NO502_NPM_URL.")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var err error
		if s.defaults, err = fromEnvironment(cmd.Flags(), os.Environ()); err != nil {
			return err
		}
		if err := s.check(); err != nil {
			return err
		}
		return run(cmd, s)
	}
	return cmd
}

// fromEnvironment sets the flags that were not given from NO502_… variables, and
// returns the labels' defaults. One that is no setting is an error: it was meant
// to be one.
func fromEnvironment(f *pflag.FlagSet, environ []string) (defaults map[string]string, err error) {
	defaults = map[string]string{}
	twins := map[string]*pflag.Flag{}
	f.VisitAll(func(flag *pflag.Flag) { twins[twin(flag.Name)] = flag })
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		flag := twins[name]
		label, isDefault := intent.DefaultName(name)
		switch {
		case !strings.HasPrefix(name, "NO502_") || value == "":
		case isDefault:
			defaults[label] = value
		case flag == nil:
			return nil, fmt.Errorf("%s is not a setting; `no502 run --help` lists them", name)
		case flag.Changed:
		default:
			if err := flag.Value.Set(value); err != nil {
				return nil, fmt.Errorf("%s=%q is not allowed: want %s: %s", name, value, kind(flag), flag.Usage)
			}
		}
	}
	return defaults, intent.CheckDefaults(defaults)
}

// kind is what a flag takes, in words.
func kind(flag *pflag.Flag) string {
	if flag.Value.Type() == "duration" {
		return "a duration such as 15s or 5m"
	}
	return "a " + flag.Value.Type()
}

// twin is the environment variable of a flag.
func twin(flag string) string {
	return "NO502_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func (s *settings) check() error {
	for _, c := range []struct {
		name, value string
		allowed     []string
	}{
		{"scope", s.scope, []string{string(api.ScopeLabelled), string(api.ScopeAll)}},
		{"mode", s.mode, []string{string(api.ModeRepair), string(api.ModeObserve)}},
		{"take-over", s.takeOver, []string{takeOverClaimed, takeOverNever}},
		{"log-level", s.logLevel, []string{"info", "debug"}},
		{"log-format", s.logFormat, []string{"text", "json"}},
	} {
		if !slices.Contains(c.allowed, c.value) {
			return fmt.Errorf("--%s (%s): %q is not allowed: use one of %s", c.name, twin(c.name), c.value, strings.Join(c.allowed, ", "))
		}
	}
	if s.poll < time.Second || s.resync < time.Second {
		return fmt.Errorf("--poll (%s) is %s and --resync (%s) is %s: a second is the least", twin("poll"), s.poll, twin("resync"), s.resync)
	}
	if s.npmPassword != "" && s.npmPasswordFile != "" {
		return fmt.Errorf("both NPM's password and a file with it are given (NO502_NPM_PASSWORD, NO502_NPM_PASSWORD_FILE): use one")
	}
	if s.npmCAFile != "" && s.npmInsecure {
		return fmt.Errorf("a CA of NPM's certificate is given, and not to verify it (NO502_NPM_CA_FILE, NO502_NPM_INSECURE): use one")
	}
	if s.statusPort() == 0 {
		return fmt.Errorf("--listen (%s): %q is not an address with a port, such as :8502", twin("listen"), s.listen)
	}
	for _, name := range s.dialects {
		if !slices.Contains(dialect.Names(), name) {
			return fmt.Errorf("--dialects (%s): %q is not one of %s", twin("dialects"), name, strings.Join(dialect.Names(), ", "))
		}
	}
	if s.maxDeletes < 0 {
		return fmt.Errorf("--max-deletes (%s) is %d: zero is the least", twin("max-deletes"), s.maxDeletes)
	}
	_, err := s.policy()
	return err
}

// listenAt is the address of the status port. In a container it must be reached
// by who looks for this machine, and by NPM.
func (s *settings) listenAt(at place) string {
	switch {
	case s.listen != "":
		return s.listen
	case at.outside():
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(defaultPort))
	}
	return net.JoinHostPort("", strconv.Itoa(defaultPort))
}

// defaultPort is the status port where --listen says none.
const defaultPort = 8502

// statusPort is the port of --listen; 0 where that cannot be read.
func (s *settings) statusPort() uint16 {
	if s.listen == "" {
		return defaultPort
	}
	_, port, _ := net.SplitHostPort(s.listen)
	n, _ := strconv.ParseUint(port, 10, 16)
	return uint16(n)
}

func (s *settings) policy() (api.Policy, error) {
	p := api.Policy{
		Instance: s.instance, Prefix: s.labelPrefix, Scope: api.Scope(s.scope), Mode: api.Mode(s.mode),
		Network: s.network, NPM: s.npmContainer,
		Defaults: s.defaults, Dialects: s.dialects, TakeOver: s.takeOver == takeOverClaimed,
		Snippets: s.allowSnippets, MaxDeletes: s.maxDeletes,
	}
	var err error
	if p.AllowedDomains, err = patterns(s.allowedDomains); err != nil {
		return p, err
	}
	if p.DNSProviders, err = s.dnsProviders(); err != nil {
		return p, err
	}
	for _, text := range s.hostAddresses {
		addr, err := netip.ParseAddr(strings.TrimSpace(text))
		if err != nil {
			return p, fmt.Errorf("--host-addresses (%s): %q is not an IP address", twin("host-addresses"), text)
		}
		p.MachineAddrs = append(p.MachineAddrs, addr.Unmap())
	}
	return p, nil
}

// patterns reads domain patterns: "*.example.com", or with a Compose project
// "shop=*.shop.example.com".
func patterns(list []string) (all []api.DomainPattern, err error) {
	for _, text := range list {
		project, pattern, ok := strings.Cut(strings.TrimSpace(text), "=")
		if !ok {
			project, pattern = "", project
		}
		pattern = strings.ToLower(strings.TrimSpace(pattern))
		if bare := strings.TrimPrefix(pattern, "*."); pattern != "*" && (!api.IsForwardHost(bare) || ok && project == "") {
			return nil, fmt.Errorf("--allowed-domains (%s): %q is not a domain, *.domain or *, with \"project=\" in front for one Compose project", twin("allowed-domains"), text)
		}
		all = append(all, api.DomainPattern{Project: project, Pattern: pattern})
	}
	return all, nil
}

// stateMount is the state directory, if it is there, unless another one is set.
const stateMount = "/state"

// state is the state directory; empty: there is none.
func (s *settings) state() string {
	if s.stateDir != "" {
		return s.stateDir
	}
	if info, err := os.Stat(stateMount); err != nil || !info.IsDir() {
		return ""
	}
	return stateMount
}

// credentialsFile ends the name of a DNS provider's credentials.
const credentialsFile = ".ini"

// dnsProviders are those whose credentials are mounted.
func (s *settings) dnsProviders() (names []string, err error) {
	if s.dnsCredentials == "" {
		return nil, nil
	}
	files, err := os.ReadDir(s.dnsCredentials)
	if err != nil {
		return nil, fmt.Errorf("--dns-credentials (%s): %w", twin("dns-credentials"), err)
	}
	for _, f := range files {
		if name, ok := strings.CutSuffix(f.Name(), credentialsFile); ok {
			names = append(names, name)
		}
	}
	return names, nil
}

// dnsCredential reads a DNS provider's credentials; the file anew at each call.
func (s *settings) dnsCredential(provider string) (string, error) {
	text, err := os.ReadFile(filepath.Join(s.dnsCredentials, filepath.Base(provider)+credentialsFile))
	if err != nil {
		return "", fmt.Errorf("the credentials of the DNS provider %s: %w", provider, err)
	}
	return string(text), nil
}

// credentials reads the login for NPM; the file anew at each call.
func (s *settings) credentials() (email, password string, err error) {
	password = s.npmPassword
	if s.npmPasswordFile != "" {
		if password, err = readSecret("NPM's password", "npm-password-file", s.npmPasswordFile); err != nil {
			return "", "", err
		}
	}
	if s.npmEmail == "" || password == "" {
		return "", "", fmt.Errorf("no login for NPM: set NO502_NPM_EMAIL, and NO502_NPM_PASSWORD or NO502_NPM_PASSWORD_FILE")
	}
	return s.npmEmail, password, nil
}

// totp returns what reads the second factor's secret, anew at each call; nil
// where there is none.
func (s *settings) totp() func() (string, error) {
	if s.npmTOTPFile == "" {
		return nil
	}
	return func() (string, error) {
		return readSecret("the secret of the second factor", "npm-totp-file", s.npmTOTPFile)
	}
}

func readSecret(what, flag, file string) (string, error) {
	data, err := os.ReadFile(file)
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err // the status port says it too, and no paths
	}
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w: it must be readable for user %d, who has no further rights: chown it, or chmod 644", err, os.Getuid())
	}
	if err != nil {
		return "", fmt.Errorf("reading %s from the file of %s: %w", what, twin(flag), err)
	}
	return strings.TrimRight(string(data), "\r\n"), nil
}
