//! The one client of Kubernetes clusters, against the tests' own or the real one that is named.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

mod access;
mod answers;

use kiops::cluster::{Cluster, ClusterError};
use kiops::domain::kubeconfig::{ClusterAccess, ClusterLogin};

use crate::support::cluster::ClusterDouble;

/// A kubeconfig's login, which is good.
fn login(kubeconfig: &str) -> ClusterLogin {
    ClusterLogin::read(kubeconfig, None).map_err(|why| panic!("{why}")).unwrap()
}

fn connect(login: ClusterLogin) -> Cluster {
    Cluster::connect(&ClusterAccess::Login(Box::new(login)), None).unwrap()
}

/// A client with a token.
fn with_token(double: &ClusterDouble, token: &str) -> Cluster {
    connect(login(&double.kubeconfig_of(token)))
}

/// What a cluster says when it is asked for its version.
async fn refusal(cluster: &Cluster) -> ClusterError {
    cluster.version().await.unwrap_err()
}
