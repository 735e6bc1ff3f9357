//! The removal of what a scan has on an engine.

use std::collections::HashMap;

use bollard::query_parameters::{
    ListContainersOptions, ListNetworksOptions, ListVolumesOptions, RemoveContainerOptions, RemoveVolumeOptions,
};

use super::{connect, error, sdk};
use crate::engine::EngineError;
use crate::scanner::ScanError;
use crate::scanner::run::EngineConnection;
use crate::scanner::run::inside::SCAN;

/// Removes containers, volumes and networks of a scan.
pub(in crate::scanner::run) async fn clear(engine: &EngineConnection, scan_id: &str) -> Result<(), ScanError> {
    let engine = connect(engine)?;
    let api = engine.api().await.map_err(error)?;
    let filters = Some(HashMap::from([("label".to_owned(), vec![format!("{SCAN}={scan_id}")])]));
    let options = ListContainersOptions { all: true, filters: filters.clone(), ..Default::default() };
    for container in api.list_containers(Some(options)).await.map_err(sdk)? {
        let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
        let removed = api.remove_container(&container.id.unwrap_or_default(), Some(options)).await;
        gone(removed.map_err(EngineError::from))?;
    }
    let volumes = api.list_volumes(Some(ListVolumesOptions { filters: filters.clone() })).await.map_err(sdk)?;
    for volume in volumes.volumes.unwrap_or_default() {
        let removed = api.remove_volume(&volume.name, Some(RemoveVolumeOptions { force: true })).await;
        gone(removed.map_err(EngineError::from))?;
    }
    for network in api.list_networks(Some(ListNetworksOptions { filters })).await.map_err(sdk)? {
        gone(api.remove_network(&network.id.unwrap_or_default()).await.map_err(EngineError::from))?;
    }
    Ok(())
}

/// What is gone already, or is being removed by somebody else, is removed.
fn gone(removed: Result<(), EngineError>) -> Result<(), ScanError> {
    match removed {
        Err(failure) if !failure.is_missing() && !failure.is_conflict() => Err(error(failure)),
        _ => Ok(()),
    }
}
