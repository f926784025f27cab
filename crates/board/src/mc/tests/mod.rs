// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What containers, portals, resources and connections do together.
//!
//! "Board observation" with a name such as V-DPRC-1 refers to the suites of a
//! public ledger of what a real LX2160A under firmware 10.39 answers
//! (`cunabli/dpaa2-controlplane`, `docs/baseline` and `docs/adr`).

mod assignment;
mod channels;
mod connections;
mod containers;
mod invariants;
mod layers;
mod leftovers;
mod loader;
mod portal;
mod reasons;
mod record;
mod resources;
mod scan;
