// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! The objects of a container, as devices on the bus: which there are, what the Management
//! Complex said of each when its device was made, and how one goes that somebody has open.

use crate::{
    abstractions::{
        fsl_mc::{
            self,
            Added, //
        },
        vfio,
        work, //
    },
    container::Container,
    logic::command::Object as Description,
    look::{
        Look,
        Seen, //
    },
    object::Object,
    registry, //
};
use kernel::{
    impl_has_work, new_mutex, new_work,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        Arc,
        Mutex, //
    },
    workqueue::{
        Work,
        WorkItem, //
    },
};

/// In how many looks in a row an object has to be missing that has gone, while others come and go
/// so fast that no two lists are equal. A user can see to that, and is to gain nothing by it.
const MISSES: u32 = 4;

/// An object that has a device.
#[pin_data]
pub(crate) struct Member {
    device: Added,
    /// None where that is not known.
    seen: Option<Seen>,
    /// As the MC said last. This and the next are changed with [`Members::lists`] locked.
    was_plugged: Atomic<bool>,
    /// How many looks in a row it was missing in.
    misses: Atomic<u32>,
    /// The driver has not taken it yet.
    is_new: Atomic<bool>,
    container: Arc<Container>,
    is_removed: Atomic<bool>,
    #[pin]
    removal: Work<Self>,
}

impl_has_work! {
    impl HasWork<Self> for Member { self.removal }
}

impl WorkItem for Member {
    type Pointer = Arc<Self>;

    /// Waits for no user: who has the object open may keep it for as long as it likes.
    fn run(this: Arc<Self>) {
        // Who commands one object commands all of the container, whether or not they were opened.
        if this.container.is_used() {
            registry::remember_use(this.device.object_id());
        }
        let is_open = registry::revoke(&this.device);
        if is_open {
            // The last closing queues this again.
            return;
        }
        this.device.remove();
        this.is_removed.store(true, Release);
        this.container.changed();
    }
}

impl Member {
    fn is(&self, object: &Description) -> bool {
        self.device.id() == object.id && self.device.type_name() == object.kind
    }

    /// Whether the device still serves what there is under its name.
    fn serves(&self, now: &Seen) -> bool {
        let is_plugged = now.object.is_plugged();
        if !is_plugged && self.was_plugged.load(Relaxed) {
            return false;
        }
        self.was_plugged.store(is_plugged, Relaxed);
        self.misses.store(0, Relaxed);
        self.seen.as_ref().is_some_and(|seen| seen.is_like(now))
    }

    /// Whether it has gone, though that is not sure of this look alone.
    fn is_missing(&self, look: &Look) -> bool {
        if look.names(|object| self.is(object)) {
            self.misses.store(0, Relaxed);
            return false;
        }
        self.misses.fetch_add(1, Relaxed) >= MISSES - 1
    }
}

/// An object that can be opened.
struct Opening {
    device: *const fsl_mc::Device,
    registration: Arc<vfio::Registration<Object>>,
}

// SAFETY: The pointer is compared only.
unsafe impl Send for Opening {}

/// All objects of a container.
#[pin_data]
pub(crate) struct Members {
    #[pin]
    lists: Mutex<Lists>,
}

/// Held only to look at the lists and to change them.
struct Lists {
    members: KVec<Arc<Member>>,
    /// Those that go, until they have.
    going: KVec<Arc<Member>>,
    /// Objects that were unplugged: they are let go, and come back when they are plugged again.
    unplugged: KVec<Description>,
    /// Objects that the bus cannot make a device for.
    refused: KVec<Description>,
    openings: KVec<Opening>,
    /// The container itself has gone, and with it all that was in it.
    all_gone: bool,
}

impl Members {
    pub(crate) fn new() -> impl PinInit<Self> {
        let lists = Lists {
            members: KVec::new(),
            going: KVec::new(),
            unplugged: KVec::new(),
            refused: KVec::new(),
            openings: KVec::new(),
            all_gone: false,
        };
        pin_init!(Self {
            lists <- new_mutex!(lists, "Members::lists"),
        })
    }

    /// Enters a device that the bus has made. Without memory for it, it goes again.
    pub(crate) fn add(
        &self,
        container: &Arc<Container>,
        device: Added,
        seen: Option<Seen>,
    ) -> Result {
        let was_plugged = seen.as_ref().is_some_and(|seen| seen.object.is_plugged());
        let member = Arc::pin_init(
            pin_init!(Member {
                device,
                seen,
                was_plugged: Atomic::new(was_plugged),
                misses: Atomic::new(0),
                is_new: Atomic::new(true),
                container: container.clone(),
                is_removed: Atomic::new(false),
                removal <- new_work!("Member::removal"),
            }),
            GFP_KERNEL,
        )?;
        let mut lists = self.lists.lock();
        Ok(lists.members.push(member.clone(), GFP_KERNEL)?)
    }

    /// Whether all that there is has a device, and nothing else.
    pub(crate) fn are(&self, now: &[Seen]) -> bool {
        let lists = self.lists.lock();
        let has = |seen: &Seen| lists.find(&seen.object).is_some_and(|m| m.serves(seen));
        let is_listed = |member: &Arc<Member>| now.iter().any(|seen| member.is(&seen.object));
        now.iter().all(|seen| lists.stays_away(seen) || has(seen))
            && lists.members.iter().all(is_listed)
            && lists.unplugged.iter().all(|one| is_unplugged(one, now))
            && lists.refused.iter().all(|one| is_there(one, now))
    }

    /// Begins to remove what is not there any more, and says what is there without a device.
    pub(crate) fn follow(&self, look: &Look) -> Result<KVec<Description>> {
        let mut went = KVec::new();
        let mut came = KVec::new();
        let mut lists = self.lists.lock();
        let count = lists.members.len();
        lists.going.reserve(count, GFP_KERNEL)?;
        lists.unplugged.reserve(count, GFP_KERNEL)?;
        went.reserve(count, GFP_KERNEL)?;
        came.reserve(look.last().len(), GFP_KERNEL)?;
        let Lists {
            members,
            going,
            unplugged,
            refused,
            ..
        } = &mut *lists;
        if look.is_stable() {
            unplugged.retain(|one| is_unplugged(one, look.last()));
        }
        refused.retain(|one| look.names(|object| object.is_same(one)));
        // Within the capacities, no push can fail.
        members.retain(|member| {
            let stays = match look.sure().find(|seen| member.is(&seen.object)) {
                Some(seen) if member.serves(seen) => true,
                Some(seen) => {
                    if !seen.object.is_plugged() {
                        let _ = unplugged.push(seen.object, GFP_NOWAIT);
                    }
                    false
                }
                None => !look.is_stable() && !member.is_missing(look),
            };
            if !stays {
                let _ = going.push(member.clone(), GFP_NOWAIT);
                let _ = went.push(member.clone(), GFP_NOWAIT);
            }
            stays
        });
        for seen in look.sure() {
            if lists.find(&seen.object).is_none() && !lists.stays_away(seen) {
                let _ = came.push(seen.object, GFP_NOWAIT);
            }
        }
        drop(lists);
        for member in went {
            let _ = work::queue().enqueue(member);
        }
        Ok(came)
    }

    /// The bus can make no device for an object: it is not asked again while that is what it is.
    pub(crate) fn refuse(&self, object: Description) -> Result {
        Ok(self.lists.lock().refused.push(object, GFP_KERNEL)?)
    }

    /// An object can be opened from now on. `ENODEV` if it is about to go.
    pub(crate) fn opens(
        &self,
        device: &fsl_mc::Device,
        registration: &Arc<vfio::Registration<Object>>,
    ) -> Result {
        let mut lists = self.lists.lock();
        if lists.is_going(device) {
            return Err(ENODEV);
        }
        let opening = Opening {
            device,
            registration: registration.clone(),
        };
        Ok(lists.openings.push(opening, GFP_KERNEL)?)
    }

    /// It cannot be opened any more.
    pub(crate) fn closes(&self, device: &fsl_mc::Device) {
        let mut lists = self.lists.lock();
        let mut all = lists.openings.iter();
        let found = all.position(|opening| core::ptr::eq(opening.device, device));
        let closed = found.map(|at| lists.openings.remove(at));
        drop(lists);
        drop(closed);
    }

    /// Takes an object from its holder. Whether somebody has it open.
    pub(crate) fn revoke(&self, device: &fsl_mc::Device) -> bool {
        let lists = self.lists.lock();
        let mut all = lists.openings.iter();
        let found = all.find(|opening| core::ptr::eq(opening.device, device));
        let registration = found.map(|opening| opening.registration.clone());
        drop(lists);
        registration.is_some_and(|registration| registration.revoke())
    }

    /// Nobody has an object open any more, nor what is in it.
    pub(crate) fn closed(&self, device: &fsl_mc::Device) {
        let lists = self.lists.lock();
        let mut all = lists.going.iter();
        if let Some(member) = all.find(|member| device.is(&member.device)) {
            // With the lock held: who has taken it out of the list has it to itself.
            let _ = work::queue().enqueue(member.clone());
        }
    }

    /// No object can be opened from now on.
    pub(crate) fn admit_no_more(&self) {
        self.lists.lock().all_gone = true;
    }

    /// Takes all objects from their holders, and nobody can open one any more. The container
    /// itself, `own`, comes last: who has another portal mapped could enable again what the reset
    /// of the container has disabled.
    pub(crate) fn revoke_all(&self, own: &fsl_mc::Device) {
        self.admit_no_more();
        self.revoke_each(|device| !core::ptr::eq(device, own));
        self.revoke_each(|device| core::ptr::eq(device, own));
    }

    /// From the end: what goes meanwhile moves one that was seen already, and none is added.
    fn revoke_each(&self, is_meant: impl Fn(*const fsl_mc::Device) -> bool) {
        let mut left = self.lists.lock().openings.len();
        while let Some(at) = left.checked_sub(1) {
            left = at;
            let lists = self.lists.lock();
            let opening = lists.openings.get(at);
            let one = opening.map(|one| (one.device, one.registration.clone()));
            drop(lists);
            if let Some((device, registration)) = one {
                if is_meant(device) {
                    registration.revoke();
                }
            }
        }
    }

    /// Whether a device is about to go, because its object has gone.
    pub(crate) fn is_going(&self, device: &fsl_mc::Device) -> bool {
        self.lists.lock().is_going(device)
    }

    /// Binds what was added. `EAGAIN` where there was no memory for some of it.
    pub(crate) fn bind_pending(&self) -> Result {
        let mut result = Ok(());
        let mut at = 0;
        loop {
            let lists = self.lists.lock();
            let member = lists.members.get(at).cloned();
            drop(lists);
            let Some(member) = member else {
                return result;
            };
            if member.is_new.xchg(false, Relaxed)
                && registry::bind_pending(&member.device, &member.container)
            {
                member.is_new.store(true, Relaxed);
                result = Err(EAGAIN);
            }
            at = at.saturating_add(1);
        }
    }

    /// Removes all devices, and waits for who has them open. Nobody adds any meanwhile. `false`
    /// where `gives_up` has ended that.
    pub(crate) fn remove_all(&self, gives_up: impl Fn() -> bool) -> bool {
        loop {
            if gives_up() {
                return false;
            }
            let mut lists = self.lists.lock();
            let member = lists.members.pop();
            drop(lists);
            let Some(member) = member else {
                break;
            };
            member.device.remove();
        }
        loop {
            if gives_up() {
                return false;
            }
            let member = self.lists.lock().going.first().cloned();
            let Some(member) = member else {
                return true;
            };
            // The last closing would queue it.
            work::disable_sync(&member);
            member.device.remove();
            let forgotten = self.lists.lock().going.remove(0);
            drop(forgotten);
        }
    }

    /// Forgets those whose removal is over, whose names are free.
    pub(crate) fn forget_removed(&self) {
        loop {
            let mut lists = self.lists.lock();
            let mut all = lists.going.iter();
            let found = all.position(|member| member.is_removed.load(Acquire));
            let removed = found.map(|at| lists.going.remove(at));
            drop(lists);
            let Some(Ok(member)) = removed else {
                return;
            };
            // It has said so in its last steps, of which none is to come.
            work::disable_sync(&member);
        }
    }
}

impl Lists {
    fn find(&self, object: &Description) -> Option<&Arc<Member>> {
        self.members.iter().find(|member| member.is(object))
    }

    /// Whether an object is not to have a device: it was unplugged, the bus has none for it, or its
    /// name is still that of a device that goes, which says so when it has gone.
    fn stays_away(&self, seen: &Seen) -> bool {
        let mut unplugged = self.unplugged.iter();
        let is_named = |member: &Arc<Member>| member.is(&seen.object);
        !seen.object.is_plugged() && unplugged.any(|one| one.is_same(&seen.object))
            || self.refused.iter().any(|one| one.is_same(&seen.object))
            || self.going.iter().any(is_named)
    }

    fn is_going(&self, device: &fsl_mc::Device) -> bool {
        self.all_gone || self.going.iter().any(|member| device.is(&member.device))
    }
}

fn is_there(object: &Description, now: &[Seen]) -> bool {
    now.iter().any(|seen| seen.object.is_same(object))
}

fn is_unplugged(object: &Description, now: &[Seen]) -> bool {
    let is_still = |seen: &Seen| seen.object.is_same(object) && !seen.object.is_plugged();
    now.iter().any(is_still)
}
