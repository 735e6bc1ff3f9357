//! The removal of what a scan has on a cluster.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};

use super::manifest::of_scan;
use super::{connect, error};
use crate::cluster::clear::{REMOVAL, remove, wait_until_gone};
use crate::cluster::{ClusterError, InCluster};
use crate::scanner::ScanError;
use crate::scanner::run::ClusterConnection;

/// Removes Jobs and network policies of a scan, and waits until none of its pods is left, for a while.
pub(in crate::scanner::run) async fn clear(
    connection: &ClusterConnection,
    surroundings: Option<&InCluster>,
    scan_id: &str,
) -> Result<(), ScanError> {
    let cluster = connect(connection, surroundings)?;
    let (namespace, of_scan) = (connection.namespace.as_str(), of_scan(scan_id));
    let jobs: Api<Job> = Api::namespaced(cluster.client(), namespace);
    let removal = async {
        for job in jobs.list(&ListParams::default().labels(&of_scan)).await.map_err(ClusterError::from)?.items {
            let name = job.name_any();
            // It is the Job's, and so goes with it; but not at once.
            remove::<NetworkPolicy>(&cluster, namespace, &name).await?;
            remove::<Job>(&cluster, namespace, &name).await?;
        }
        wait_until_gone(&cluster, namespace, &of_scan).await
    };
    let late = || ScanError::Unreachable("the cluster does not say that a scan is gone with its pods".to_owned());
    tokio::time::timeout(REMOVAL, removal).await.map_err(|_| late())?.map_err(error)
}
