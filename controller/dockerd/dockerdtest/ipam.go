package dockerdtest

import (
	"net/netip"
)

// ipam hands out the addresses of one pool: the lowest free one, as libnetwork's default driver does for
// bridges. Measured: with .2, .3 and .4 taken and .3 released, the next container gets .3, and one that
// restarts gets its own address back unless somebody took it meanwhile.
type ipam struct {
	subnet netip.Prefix
	pool   netip.Prefix // the ip-range, or the subnet
	used   map[netip.Addr]bool
	low    netip.Addr // nothing below it is free
}

func newIPAM(subnet, pool netip.Prefix) *ipam {
	if !pool.IsValid() {
		pool = subnet
	}
	p := &ipam{subnet: subnet.Masked(), pool: pool.Masked(), used: map[netip.Addr]bool{}}
	p.used[p.subnet.Addr()] = true
	p.used[lastAddr(p.subnet)] = true
	p.low = p.pool.Addr()
	return p
}

// next takes the lowest free address; false if there is none.
func (p *ipam) next() (netip.Addr, bool) {
	for a := p.low; p.pool.Contains(a); a = a.Next() {
		if !p.used[a] {
			p.used[a] = true
			p.low = a.Next()
			return a, true
		}
	}
	return netip.Addr{}, false
}

// take takes one address; false if it is taken.
func (p *ipam) take(a netip.Addr) bool {
	if p.used[a] {
		return false
	}
	p.used[a] = true
	return true
}

func (p *ipam) release(a netip.Addr) {
	delete(p.used, a)
	if p.pool.Contains(a) && a.Less(p.low) {
		p.low = a
	}
}

// lastAddr is the broadcast address of an IPv4 prefix.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	return netip.AddrFrom4(b)
}

// poolAllocator picks subnets for networks that name none, from Docker's default pools: 172.17.0.0/16 to
// 172.31.0.0/16, then 192.168.0.0/20 to 192.168.240.0/20. It goes on after the last one it gave, so that a
// removed network's subnet is not used again at once.
type poolAllocator struct{ last int }

func defaultPool(i int) netip.Prefix {
	if i < 15 {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{172, byte(17 + i), 0, 0}), 16)
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, byte((i - 15) * 16), 0}), 20)
}

const defaultPools = 15 + 16

// next finds a default pool that overlaps nothing; false if they are exhausted.
func (a *poolAllocator) next(overlaps func(netip.Prefix) bool) (netip.Prefix, bool) {
	for i := range defaultPools {
		j := (a.last + i) % defaultPools
		if p := defaultPool(j); !overlaps(p) {
			a.last = j + 1
			return p, true
		}
	}
	return netip.Prefix{}, false
}
