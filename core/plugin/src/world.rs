//! The contract `sigillo:mail@0.1.0` as Rust: generated from `wit/`, so that host and guests cannot disagree.
//!
//! A breaking version of the contract gets a module of its own beside this one.

#[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated; the documentation stands in wit/")]
mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "sigillo:mail/plugin",
        imports: {
            // What reads much, or waits for the server, must not hold the session's thread.
            "sigillo:mail/message.[method]message.read-decoded": async | trappable,
            "sigillo:mail/message.[method]message.sha256": async | trappable,
            "sigillo:mail/message.[method]message.decoded-sha256": async | trappable,
            "sigillo:mail/message.[method]message.find": async | trappable,
            "sigillo:mail/signer.sign": async | trappable,
            "sigillo:mail/verifier.verify": async | trappable,
            "sigillo:mail/mailboxes.status": async | trappable,
            "sigillo:mail/mailboxes.setting": async | trappable,
            "sigillo:mail/accounts.suspend": async | trappable,
            "sigillo:mail/scan.[method]scan.wait": async | trappable,
            "sigillo:mail/content.[method]content.sha256": async | trappable,
            "sigillo:mail/timestamps.stamp": async | trappable,
            "sigillo:mail/registro.files": async | trappable,
            "sigillo:mail/registro.open": async | trappable,
            "sigillo:mail/registro.stamp": async | trappable,
            "sigillo:mail/archive.keep": async | trappable,
            "sigillo:mail/archive.usage": async | trappable,
            "sigillo:mail/archive.items": async | trappable,
            "sigillo:mail/archive.mailboxes": async | trappable,
            "sigillo:mail/archive.open": async | trappable,
            "sigillo:mail/archive.release": async | trappable,
            "sigillo:mail/outbox.queue": async | trappable,
            "sigillo:mail/outbox.fetch": async | trappable,
            "sigillo:mail/state.get": async | trappable,
            "sigillo:mail/state.scan": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        trappable_error_type: { "sigillo:mail/types.error" => crate::capability::Refusal },
        with: {
            "sigillo:mail/message.message": crate::capability::MessageHandle,
            "sigillo:mail/content.content": crate::capability::ContentHandle,
            "sigillo:mail/passage.transaction": crate::capability::TransactionHandle,
            "sigillo:mail/passage.delivery": crate::capability::DeliveryHandle,
            "sigillo:mail/passage.request": crate::capability::RequestHandle,
            "sigillo:mail/passage.inspection": crate::capability::InspectionHandle,
            "sigillo:mail/passage.answer": crate::capability::AnswerHandle,
            "sigillo:mail/verifier.verification": crate::capability::VerificationHandle,
            "sigillo:mail/directory.provider": crate::capability::ProviderHandle,
            "sigillo:mail/scan.scan": crate::capability::ScanHandle,
            "sigillo:mail/scan.report": crate::capability::ReportHandle,
        },
    });
}

pub(crate) use generated::{Plugin, exports, sigillo::mail};
