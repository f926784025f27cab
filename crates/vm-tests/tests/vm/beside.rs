// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Commands to the Management Complex from beside the guest, as a boot loader or another
//! processor sends them: through the root container's portal.

use anyhow::{Context, Result, ensure};
use board::{Board, mc};
use mc_abi::{Message, ObjectId, ObjectType, Request, Status, Token, Wire};
use std::sync::Arc;

/// An object that commands are sent to.
pub struct Object {
    board: Arc<Board>,
    portal: u32,
    token: Token,
}

impl Object {
    pub fn open(board: &Arc<Board>, kind: ObjectType, id: u32) -> Result<Self> {
        let inventory: mc::Inventory = board.mc().inventory();
        let root = inventory.containers.first().context("there is a root container")?;
        let answer = send(board, root.portal, &Message::open(ObjectId::new(kind, id)))?;
        Ok(Self { board: board.clone(), portal: root.portal, token: answer.header.token() })
    }

    pub fn call<R: Request>(&self, request: &R) -> Result<R::Reply> {
        let answer = send(&self.board, self.portal, &request.message(self.token))?;
        Ok(R::Reply::decode(&answer.params, R::MAX_VERSION)?)
    }
}

fn send(board: &Board, portal: u32, message: &Message) -> Result<Message> {
    let answer = board.mc().execute(portal, message);
    let status = answer.header.status();
    ensure!(status == Status::Ok, "the MC says {status}");
    Ok(answer)
}
