//! The broker crate against a real RabbitMQ, each test in its own virtual host.

mod consuming;
mod depths;
mod operating;
mod outages;
mod publishing;
mod rig;
mod topology;
