//! Receivers: mail, webhook, folder.
