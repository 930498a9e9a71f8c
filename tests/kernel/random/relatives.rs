//! Draws that are made of others: a near relative, and simpler ones.

use std::collections::{BTreeMap, BTreeSet};

use super::generate::{Draw, FailoverDraw, ServiceDraw, VipDraw};

type Coin<'a> = dyn FnMut() -> bool + 'a;

impl Draw {
    /// Returns this draw with about half of what differs taken from another one, down to single knobs.
    pub fn blend(&self, other: &Draw, coin: &mut Coin<'_>) -> Draw {
        let turns = |one: &[_], two: &[_], coin: &mut Coin<'_>| {
            one.iter()
                .zip(two)
                .map(|(one, two)| blend_maps(one, two, coin, |one, two, coin| pick(coin, *one, *two)))
                .collect()
        };
        let [four, six] = &self.failovers;
        let [other_four, other_six] = &other.failovers;
        Draw {
            vips: blend_maps(&self.vips, &other.vips, coin, |one, two, coin| VipDraw {
                holder: pick(coin, one.holder, two.holder),
                forwarding: pick(coin, one.forwarding, two.forwarding),
                delivery: pick(coin, one.delivery, two.delivery),
                place: pick(coin, one.place, two.place),
                services: blend_services(&one.services, &two.services, coin),
            }),
            translator: pick(coin, self.translator, other.translator),
            failovers: [blend_failovers(four, other_four, coin), blend_failovers(six, other_six, coin)],
            grouped: pick(coin, self.grouped, other.grouped),
            email: pick(coin, self.email, other.email),
            included: pick(coin, self.included, other.included),
            directors: turns(&self.directors, &other.directors, coin),
            real_servers: turns(&self.real_servers, &other.real_servers, coin),
        }
    }

    /// Returns every draw that lacks one thing of this one, the largest first.
    pub fn simpler(&self) -> Vec<Draw> {
        let mut all = Vec::new();
        let mut without = |take: &dyn Fn(&mut Draw)| {
            let mut less = self.clone();
            take(&mut less);
            all.push(less);
        };
        for octet in self.vips.keys() {
            without(&|less| drop(less.vips.remove(octet)));
        }
        let vip = |less: &mut Draw, octet: &u8, take: &dyn Fn(&mut VipDraw)| {
            less.vips.get_mut(octet).into_iter().for_each(take)
        };
        for (octet, drawn) in &self.vips {
            for number in 0..drawn.services.len() {
                without(&|less| vip(less, octet, &|vip| drop(vip.services.remove(number))));
            }
        }
        if self.directors.iter().chain(&self.real_servers).any(|turns| !turns.is_empty()) {
            without(&|less| less.directors.iter_mut().chain(&mut less.real_servers).for_each(BTreeMap::clear));
        }
        for (number, failover) in self.failovers.iter().enumerate() {
            for knob in failover.turns.keys() {
                without(&|less| less.failovers[number].turns.retain(|other, _| other != knob));
            }
        }
        for (octet, drawn) in &self.vips {
            for (number, service) in drawn.services.iter().enumerate().filter(|(_, service)| service.servers.len() > 1)
            {
                for index in service.servers.keys() {
                    without(&|less| {
                        vip(less, octet, &|vip| vip.services[number].servers.retain(|other, _| other != index))
                    });
                }
            }
        }
        all
    }
}

fn pick<T>(coin: &mut Coin<'_>, one: T, two: T) -> T {
    if coin() { one } else { two }
}

fn blend_maps<K: Ord + Clone, V: Clone>(
    one: &BTreeMap<K, V>,
    two: &BTreeMap<K, V>,
    coin: &mut Coin<'_>,
    blend: impl Fn(&V, &V, &mut Coin<'_>) -> V,
) -> BTreeMap<K, V> {
    let keys: BTreeSet<&K> = one.keys().chain(two.keys()).collect();
    let mut blended = BTreeMap::new();
    for key in keys {
        let value = match (one.get(key), two.get(key)) {
            (Some(one), Some(two)) => Some(blend(one, two, coin)),
            (one, two) => one.or(two).filter(|_| coin()).cloned(),
        };
        blended.extend(value.map(|value| (key.clone(), value)));
    }
    blended
}

fn blend_failovers(one: &FailoverDraw, two: &FailoverDraw, coin: &mut Coin<'_>) -> FailoverDraw {
    FailoverDraw {
        version: pick(coin, one.version, two.version),
        preemption: pick(coin, one.preemption, two.preemption),
        unicast: pick(coin, one.unicast, two.unicast),
        swapped: pick(coin, one.swapped, two.swapped),
        interval: pick(coin, one.interval, two.interval),
        source: pick(coin, one.source, two.source),
        password: pick(coin, one.password, two.password),
        sync: pick(coin, one.sync, two.sync),
        hidden: pick(coin, one.hidden, two.hidden),
        weighted: pick(coin, one.weighted, two.weighted),
        virtual_mac: pick(coin, one.virtual_mac, two.virtual_mac),
        turns: blend_maps(&one.turns, &two.turns, coin, |one, two, coin| pick(coin, *one, *two)),
    }
}

fn blend_services(one: &[ServiceDraw], two: &[ServiceDraw], coin: &mut Coin<'_>) -> Vec<ServiceDraw> {
    let numbered = |services: &[ServiceDraw]| services.iter().cloned().enumerate().collect::<BTreeMap<_, _>>();
    let blend = |one: &ServiceDraw, two: &ServiceDraw, coin: &mut Coin<'_>| {
        let of_ports = pick(coin, one, two);
        ServiceDraw {
            protocol: of_ports.protocol,
            ports: of_ports.ports.clone(),
            extent: pick(coin, one.extent, two.extent),
            scheduler: pick(coin, one.scheduler, two.scheduler),
            persistence: pick(coin, one.persistence, two.persistence),
            knobs: pick(coin, one.knobs, two.knobs),
            drain: pick(coin, one.drain, two.drain),
            check: pick(coin, one.check, two.check),
            on_failure: pick(coin, one.on_failure, two.on_failure),
            watch: pick(coin, one.watch, two.watch),
            pooled: pick(coin, one.pooled, two.pooled),
            servers: blend_maps(&one.servers, &two.servers, coin, |one, two, coin| pick(coin, one, two).clone()),
        }
    };
    blend_maps(&numbered(one), &numbered(two), coin, blend).into_values().collect()
}
