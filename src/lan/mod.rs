//! How the office is found on the network: addresses, announcement, QR code.
