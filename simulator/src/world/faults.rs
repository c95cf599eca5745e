//! What goes wrong, as it begins and ends.

use super::World;
use crate::case::What;
use crate::page::idle;

impl World<'_> {
    pub(super) fn fault(&mut self, index: usize, begins: bool) {
        let fault = &self.case.faults[index];
        for region in (0..self.case.regions.len()).filter(|region| fault.is_about(*region)) {
            match fault.what {
                What::Lost => {
                    self.regions[region].lost = begins;
                    if begins {
                        self.lose(region);
                    }
                }
                What::Slower(factor) => {
                    for replica in &mut self.replicas[region] {
                        replica.slowness = if begins { factor } else { 1.0 };
                    }
                }
                What::SaysIdle if begins => {
                    let mut says = self.pages(region);
                    says.iter_mut().for_each(idle);
                    self.regions[region].says = Some(says);
                }
                What::SaysIdle => self.regions[region].says = None,
            }
        }
    }

    pub(super) fn noticed(&mut self, index: usize, lost: bool) {
        let fault = &self.case.faults[index];
        for (region, state) in self.regions.iter_mut().enumerate() {
            if fault.is_about(region) {
                state.known_lost = lost;
            }
        }
    }

    /// Everything that a region has is lost: what has no first token yet looks for another region, the rest has failed.
    fn lose(&mut self, region: usize) {
        let replicas = self.replicas[region].iter_mut();
        let lost: Vec<usize> = replicas.flat_map(|replica| replica.die()).collect();
        for id in lost {
            self.router.ended(region, id);
            if self.journeys[id].begun {
                self.served[id].broken();
                self.left -= 1;
            } else {
                self.fails(id, region);
            }
        }
    }
}
