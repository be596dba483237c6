"""The fake FSx service: it moves bytes as the service's documentation says, and speaks the API as its model says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from lakelink.testing.aws import FsxError, FsxService, Mirror, serve
from lakelink.testing.aws.objects import attributes_of

BUCKET = "lake"
ALL = ["NEW", "CHANGED", "DELETED"]


@pytest.fixture
def service(aws, tmp_path) -> FsxService:
    aws("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    return FsxService(tmp_path / "systems", aws("s3"))


@pytest.fixture
def s3(aws) -> Any:
    return aws("s3")


def file_system(service: FsxService, **keys: Any) -> str:
    request = {
        "FileSystemType": "LUSTRE",
        "StorageCapacity": 1200,
        "SubnetIds": ["subnet-12345678"],
        "FileSystemTypeVersion": "2.15",
        "LustreConfiguration": {"DeploymentType": "PERSISTENT_2", "PerUnitStorageThroughput": 125},
    }
    made = service.call("CreateFileSystem", request | keys)["FileSystem"]
    service.settle()
    return made["FileSystemId"]


def link(service: FsxService, system: str, path: str = "/data", prefix: str = "data/", **keys: Any) -> str:
    request = {
        "FileSystemId": system,
        "FileSystemPath": path,
        "DataRepositoryPath": f"s3://{BUCKET}/{prefix}",
        "S3": {"AutoImportPolicy": {"Events": ALL}, "AutoExportPolicy": {"Events": ALL}},
    }
    made = service.call("CreateDataRepositoryAssociation", request | keys)["Association"]
    service.settle()
    return made["AssociationId"]


def keys_of(s3: Any) -> list[str]:
    return [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def task(service: FsxService, system: str, kind: str, **keys: Any) -> dict[str, Any]:
    request = {"Type": kind, "FileSystemId": system, "Report": {"Enabled": False}} | keys
    made = service.call("CreateDataRepositoryTask", request)["DataRepositoryTask"]
    service.settle()
    return service.call("DescribeDataRepositoryTasks", {"TaskIds": [made["TaskId"]]})["DataRepositoryTasks"][0]


@pytest.fixture
def data(service) -> Path:
    system = file_system(service)
    link(service, system)
    return service.directory(system) / "data"


def test_a_new_file_becomes_an_object_with_the_documented_metadata(service, s3, data):
    (data / "a.txt").write_bytes(b"hello")
    (data / "a.txt").chmod(0o640)
    os.utime(data / "a.txt", ns=(1_700_000_000_000_000_001, 1_600_000_000_000_000_002))
    service.settle()
    found = s3.get_object(Bucket=BUCKET, Key="data/a.txt")
    assert found["Body"].read() == b"hello"
    assert found["Metadata"] == {
        "file-permissions": "0100640",
        "file-owner": str(os.getuid()),
        "file-group": str(os.getgid()),
        "file-atime": found["Metadata"]["file-atime"],
        "file-mtime": "1600000000000000002ns",
        "user-agent": "aws-fsx-lustre",
    }
    assert found["Metadata"]["file-atime"].endswith("ns")


def test_directories_and_links_become_objects_of_their_own(service, s3, data):
    (data / "d").mkdir()
    (data / "l").symlink_to("d/else")
    service.settle()
    assert keys_of(s3) == ["data/d/", "data/l"]
    assert s3.head_object(Bucket=BUCKET, Key="data/d/")["Metadata"]["file-permissions"].startswith("0040")
    found = s3.get_object(Bucket=BUCKET, Key="data/l")
    assert (found["Body"].read(), found["Metadata"]["file-permissions"]) == (b"d/else", "0120777")


def test_an_object_with_metadata_becomes_that_file_and_one_without_becomes_0755(service, s3, data):
    meta = {"file-permissions": "0100604", "file-mtime": "1595002920000000007ns", "file-owner": "7", "file-group": "8"}
    s3.put_object(Bucket=BUCKET, Key="data/x/y", Body=b"with", Metadata=meta)
    s3.put_object(Bucket=BUCKET, Key="data/plain", Body=b"without")
    service.settle()
    found = (data / "x/y").stat()
    assert ((data / "x/y").read_bytes(), found.st_mode & 0o7777) == (b"with", 0o604)
    assert found.st_mtime_ns == 1595002920000000007
    if os.geteuid() == 0:
        assert (found.st_uid, found.st_gid) == (7, 8)
    assert (data / "plain").stat().st_mode & 0o7777 == 0o755


def test_a_changed_object_without_metadata_keeps_the_mode_of_its_file(service, s3, data):
    (data / "a").write_bytes(b"1")
    (data / "a").chmod(0o600)
    service.settle()
    s3.put_object(Bucket=BUCKET, Key="data/a", Body=b"2")
    service.settle()
    assert ((data / "a").read_bytes(), (data / "a").stat().st_mode & 0o7777) == (b"2", 0o600)


def test_what_came_in_does_not_go_out_again_and_the_other_way_round(service, s3, data):
    (data / "out").write_bytes(b"o")
    s3.put_object(Bucket=BUCKET, Key="data/in/deep", Body=b"i")
    service.settle()
    before = {key: s3.head_object(Bucket=BUCKET, Key=key)["LastModified"] for key in keys_of(s3)}
    assert sorted(before) == ["data/in/deep", "data/out"]
    assert not service.step()


def test_deletes_travel_both_ways_and_a_directory_only_when_it_is_empty(service, s3, data):
    (data / "d").mkdir()
    (data / "d/a").write_bytes(b"a")
    (data / "b").write_bytes(b"b")
    service.settle()
    (data / "b").unlink()
    s3.delete_object(Bucket=BUCKET, Key="data/d/")
    service.settle()
    assert keys_of(s3) == ["data/d/a"]
    assert (data / "d/a").read_bytes() == b"a"
    s3.delete_object(Bucket=BUCKET, Key="data/d/a")
    service.settle()
    assert not (data / "d/a").exists()


def test_a_rename_of_a_directory_is_a_delete_and_a_create_of_everything_below(service, s3, data):
    (data / "d").mkdir()
    (data / "d/a").write_bytes(b"a")
    service.settle()
    (data / "d").rename(data / "e")
    service.settle()
    assert keys_of(s3) == ["data/e/", "data/e/a"]


def test_times_alone_are_no_reason_to_export_but_a_mode_is(service, s3, data):
    (data / "a").write_bytes(b"a")
    service.settle()
    written = s3.head_object(Bucket=BUCKET, Key="data/a")["Metadata"]
    os.utime(data / "a", ns=(1, 2))
    service.settle()
    assert s3.head_object(Bucket=BUCKET, Key="data/a")["Metadata"] == written
    (data / "a").chmod(0o611)
    service.settle()
    found = s3.head_object(Bucket=BUCKET, Key="data/a")["Metadata"]
    assert (found["file-permissions"], found["file-mtime"]) == ("0100611", "2ns")


@pytest.mark.parametrize(("first", "winner"), [("lake", b"lake"), ("files", b"files")])
def test_where_both_sides_changed_the_one_dealt_with_first_overwrites_the_other(aws, s3, tmp_path, first, winner):
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    service = FsxService(tmp_path / "systems", s3, first=first)
    system = file_system(service)
    link(service, system)
    data = service.directory(system) / "data"
    (data / "a").write_bytes(b"base")
    service.settle()
    (data / "a").write_bytes(b"files")
    s3.put_object(Bucket=BUCKET, Key="data/a", Body=b"lake")
    service.settle()
    assert (data / "a").read_bytes() == s3.get_object(Bucket=BUCKET, Key="data/a")["Body"].read() == winner


@pytest.mark.parametrize("events", [[], ["NEW"], ["CHANGED"], ["DELETED"], ["NEW", "DELETED"], ALL])
def test_each_direction_carries_exactly_the_events_of_its_policy(service, s3, events):
    system = file_system(service)
    data = service.directory(system) / "data"
    data.mkdir()
    for name in ("change", "delete"):
        (data / f"f-{name}").write_bytes(b"1")
        s3.put_object(Bucket=BUCKET, Key=f"data/l-{name}", Body=b"1")
    policy = {"AutoImportPolicy": {"Events": events}, "AutoExportPolicy": {"Events": events}}
    identity = link(service, system, S3=policy, BatchImportMetaDataOnCreate=True)
    task(service, system, "EXPORT_TO_REPOSITORY")
    assert service.state.associations[identity].lifecycle == "AVAILABLE"
    (data / "f-new").write_bytes(b"1")
    (data / "f-change").write_bytes(b"2")
    (data / "f-delete").unlink()
    s3.put_object(Bucket=BUCKET, Key="data/l-new", Body=b"1")
    s3.put_object(Bucket=BUCKET, Key="data/l-change", Body=b"2")
    s3.delete_object(Bucket=BUCKET, Key="data/l-delete")
    service.settle()
    keys = keys_of(s3)
    assert ("data/f-new" in keys, (data / "l-new").exists()) == ("NEW" in events,) * 2
    assert ("data/f-delete" not in keys, not (data / "l-delete").exists()) == ("DELETED" in events,) * 2
    object_now = s3.get_object(Bucket=BUCKET, Key="data/f-change")["Body"].read()
    wanted = b"2" if "CHANGED" in events else b"1"
    assert (object_now, (data / "l-change").read_bytes()) == (wanted, wanted)


@pytest.mark.parametrize("key", ["a//b", "../x", "a/./b", "/lead", "x" * 256])
def test_a_key_that_cannot_be_a_file_is_logged_and_nothing_else_suffers(service, s3, data, key):
    s3.put_object(Bucket=BUCKET, Key=f"data/{key}", Body=b"no")
    s3.put_object(Bucket=BUCKET, Key="data/good", Body=b"yes")
    service.settle()
    (one,) = service.state.associations.values()
    assert [failure.code for failure in one.mirror.log] == ["S3ImportObjectPathNotPosixCompliant"]
    assert [path.name for path in data.iterdir()] == ["good"]
    assert [path.name for path in data.parent.iterdir()] == ["data"]


def test_a_file_where_an_object_needs_a_directory_is_logged(service, s3, data):
    s3.put_object(Bucket=BUCKET, Key="data/a", Body=b"file")
    s3.put_object(Bucket=BUCKET, Key="data/a/b", Body=b"below")
    service.settle()
    (one,) = service.state.associations.values()
    assert [failure.code for failure in one.mirror.log] == ["S3ImportObjectTypeMismatch"]
    assert (data / "a").read_bytes() == b"file"


def test_an_import_task_brings_what_changed_and_never_deletes(service, s3):
    system = file_system(service)
    link(service, system, S3={})
    data = service.directory(system) / "data"
    s3.put_object(Bucket=BUCKET, Key="data/sub/a", Body=b"1")
    s3.put_object(Bucket=BUCKET, Key="data/b", Body=b"1")
    service.settle()
    assert list(data.iterdir()) == []
    done = task(service, system, "IMPORT_METADATA_FROM_REPOSITORY", Paths=[f"s3://{BUCKET}/data/sub"])
    assert (done["Lifecycle"], done["Status"]["TotalCount"]) == ("SUCCEEDED", 1)
    assert [path.name for path in data.iterdir()] == ["sub"]
    done = task(service, system, "IMPORT_METADATA_FROM_REPOSITORY")
    assert done["Status"]["SucceededCount"] == 1
    s3.delete_object(Bucket=BUCKET, Key="data/b")
    done = task(service, system, "IMPORT_METADATA_FROM_REPOSITORY", Tags=[{"Key": "k", "Value": "again"}])
    assert (done["Status"]["TotalCount"], (data / "b").read_bytes()) == (0, b"1")


def test_an_export_task_reports_what_failed_in_the_documented_form(service, s3):
    system = file_system(service)
    link(service, system, S3={})
    deep = service.directory(system) / "data" / "=d" / "/".join(["e" * 252] * 4)
    deep.mkdir(parents=True)
    (deep / "long-name").write_bytes(b"x" * 10)
    report = {
        "Enabled": True,
        "Path": f"s3://{BUCKET}/reports/",
        "Format": "REPORT_CSV_20191124",
        "Scope": "FAILED_FILES_ONLY",
    }
    done = task(service, system, "EXPORT_TO_REPOSITORY", Report=report)
    assert (done["Lifecycle"], done["Status"]["FailedCount"]) == ("FAILED", 1)
    (key,) = [key for key in keys_of(s3) if key.startswith("reports/")]
    assert key == f"reports/task-{done['TaskId'].removeprefix('task-')}/failures.csv"
    text = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()
    assert text.startswith('"""=d/')
    assert text.endswith('/long-name""",failed,PathSizeTooLong\n')


def test_release_takes_only_what_is_exported_and_unchanged(service, data):
    (data / "a").write_bytes(b"a")
    service.settle()
    (data / "b").write_bytes(b"b")
    (one,) = service.state.associations.values()
    one.export_events = ()
    done = task(service, one.file_system.id, "RELEASE_DATA_FROM_FILESYSTEM")
    assert done["Status"]["SucceededCount"] == 1
    assert service.hsm_state(one.id, "a") == {"exists", "archived", "released"}
    assert service.hsm_state(one.id, "b") == set()
    (data / "a").write_bytes(b"changed")
    assert service.hsm_state(one.id, "a") == {"exists", "archived", "dirty"}


def test_release_by_age_spares_what_was_used_lately(service, data):
    (data / "a").write_bytes(b"a")
    service.settle()
    (one,) = service.state.associations.values()
    age = {"DurationSinceLastAccess": {"Unit": "DAYS", "Value": 9}}
    done = task(service, one.file_system.id, "RELEASE_DATA_FROM_FILESYSTEM", ReleaseConfiguration=age)
    assert done["Status"]["TotalCount"] == 0


def test_a_path_outside_of_every_association_fails_the_task(service, data):
    (one,) = service.state.associations.values()
    done = task(service, one.file_system.id, "EXPORT_TO_REPOSITORY", Paths=["elsewhere"])
    assert (done["Lifecycle"], "elsewhere" in done["FailureDetails"]["Message"]) == ("FAILED", True)


def test_the_ninth_association_and_overlapping_ones_are_refused(service):
    system = file_system(service)
    for number in range(8):
        link(service, system, path=f"/d{number}", prefix=f"p{number}/")
    with pytest.raises(FsxError) as ninth:
        link(service, system, path="/d8", prefix="p8/")
    assert ninth.value.code == "ServiceLimitExceeded"
    other = file_system(service)
    link(service, other, path="/ns1", prefix="ns1/")
    for path, prefix in (("/ns1/ns2", "x/"), ("/", "y/"), ("/z", "ns1/below/"), ("/q", "")):
        with pytest.raises(FsxError) as overlap:
            link(service, other, path=path, prefix=prefix)
        assert overlap.value.code == "BadRequest"
    link(service, other, path="/ns10", prefix="ns10/")


@pytest.mark.parametrize(
    "keys",
    [
        {"LustreConfiguration": {"DeploymentType": "SCRATCH_1"}},
        {"FileSystemTypeVersion": "2.10"},
        {"StorageType": "INTELLIGENT_TIERING"},
    ],
)
def test_a_file_system_that_cannot_be_linked_is_refused(service, keys):
    with pytest.raises(FsxError) as problem:
        link(service, file_system(service, **keys))
    assert problem.value.code == "UnsupportedOperation"


def test_an_association_goes_through_its_states_one_at_a_time(service):
    system = file_system(service)
    request = {"FileSystemId": system, "DataRepositoryPath": f"s3://{BUCKET}/"}
    first = service.call(
        "CreateDataRepositoryAssociation", request | {"FileSystemPath": "/a", "DataRepositoryPath": f"s3://{BUCKET}/a"}
    )
    second = service.call(
        "CreateDataRepositoryAssociation", request | {"FileSystemPath": "/b", "DataRepositoryPath": f"s3://{BUCKET}/b"}
    )
    links = [service.state.associations[made["Association"]["AssociationId"]] for made in (first, second)]
    assert [one.lifecycle for one in links] == ["CREATING", "CREATING"]
    service.step()
    assert [one.lifecycle for one in links] == ["AVAILABLE", "CREATING"]
    service.step()
    assert [one.lifecycle for one in links] == ["AVAILABLE", "AVAILABLE"]
    service.call("DeleteDataRepositoryAssociation", {"AssociationId": links[0].id})
    assert links[0].lifecycle == "DELETING"
    service.step()
    assert list(service.state.associations.values()) == links[1:]


def test_a_missing_bucket_misconfigures_the_association_until_it_is_there(service, s3):
    system = file_system(service)
    request = {"FileSystemId": system, "FileSystemPath": "/late", "DataRepositoryPath": "s3://late-bucket"}
    events = {"AutoImportPolicy": {"Events": ["NEW"]}}
    made = service.call("CreateDataRepositoryAssociation", request | {"S3": events})["Association"]
    one = service.state.associations[made["AssociationId"]]
    service.step()
    assert (one.lifecycle, one.answer()["FailureDetails"]) == (
        "MISCONFIGURED",
        {"Message": "s3://late-bucket/ cannot be read"},
    )
    s3.create_bucket(Bucket="late-bucket", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    service.settle()
    assert one.lifecycle == "AVAILABLE"
    s3.put_object(Bucket="late-bucket", Key="k", Body=b"v")
    service.settle()
    assert (service.directory(system) / "late/k").read_bytes() == b"v"


def test_deleting_an_association_keeps_the_files_unless_told(service, data):
    (data / "a").write_bytes(b"a")
    service.settle()
    (one,) = service.state.associations.values()
    service.call("DeleteDataRepositoryAssociation", {"AssociationId": one.id})
    service.settle()
    assert (data / "a").read_bytes() == b"a"
    other = link(service, one.file_system.id)
    service.call("DeleteDataRepositoryAssociation", {"AssociationId": other, "DeleteDataInFileSystem": True})
    service.settle()
    assert not data.exists()


def test_a_running_task_keeps_its_file_system_from_being_deleted_and_its_double_from_being_made(service, data):
    (one,) = service.state.associations.values()
    request = {"Type": "EXPORT_TO_REPOSITORY", "FileSystemId": one.file_system.id, "Report": {"Enabled": False}}
    made = service.call("CreateDataRepositoryTask", request)["DataRepositoryTask"]
    for operation, parameters, code in (
        ("CreateDataRepositoryTask", request, "DataRepositoryTaskExecuting"),
        ("DeleteFileSystem", {"FileSystemId": one.file_system.id}, "BadRequest"),
    ):
        with pytest.raises(FsxError) as problem:
            service.call(operation, parameters)
        assert problem.value.code == code
    service.call("CancelDataRepositoryTask", {"TaskId": made["TaskId"]})
    service.settle()
    assert service.state.tasks[made["TaskId"]].lifecycle == "CANCELED"
    service.call("DeleteFileSystem", {"FileSystemId": one.file_system.id})
    service.settle()
    assert not service.state.file_systems
    assert not data.exists()


def test_a_repeated_request_with_its_token_makes_one_thing_and_other_parameters_are_refused(service):
    request = {
        "FileSystemType": "LUSTRE",
        "StorageCapacity": 1200,
        "SubnetIds": ["subnet-12345678"],
        "ClientRequestToken": "once",
    }
    assert service.call("CreateFileSystem", request) == service.call("CreateFileSystem", request)
    assert len(service.state.file_systems) == 1
    with pytest.raises(FsxError) as problem:
        service.call("CreateFileSystem", request | {"StorageCapacity": 2400})
    assert problem.value.code == "IncompatibleParameterError"


def test_boto3_talks_to_it_over_http_with_pages_filters_tags_waiting_and_named_errors(service, s3):
    with serve(service) as endpoint:
        config = Config(retries={"total_max_attempts": 1})
        fsx = boto3.client("fsx", endpoint_url=endpoint, region_name="us-east-1", config=config)
        made = fsx.create_file_system(
            FileSystemType="LUSTRE",
            StorageCapacity=1200,
            SubnetIds=["subnet-12345678"],
            FileSystemTypeVersion="2.15",
            LustreConfiguration={"DeploymentType": "PERSISTENT_2", "PerUnitStorageThroughput": 125},
            Tags=[{"Key": "stack", "Value": "lab"}],
        )["FileSystem"]
        assert made["Lifecycle"] == "CREATING"
        assert len(made["LustreConfiguration"]["MountName"]) == 8
        identity = made["FileSystemId"]
        assert fsx.describe_file_systems(FileSystemIds=[identity])["FileSystems"][0]["Lifecycle"] == "AVAILABLE"
        for number in range(3):
            fsx.create_data_repository_association(
                FileSystemId=identity,
                FileSystemPath=f"/d{number}",
                DataRepositoryPath=f"s3://{BUCKET}/p{number}/",
                S3={"AutoExportPolicy": {"Events": ["NEW"]}},
            )
        here = [{"Name": "file-system-id", "Values": [identity]}]
        one = fsx.describe_data_repository_associations(Filters=here, MaxResults=2)
        two = fsx.describe_data_repository_associations(Filters=here, MaxResults=2, NextToken=one["NextToken"])
        assert (len(one["Associations"]), len(two["Associations"]), "NextToken" in two) == (2, 1, False)
        fsx.untag_resource(ResourceARN=made["ResourceARN"], TagKeys=["stack"])
        fsx.tag_resource(ResourceARN=made["ResourceARN"], Tags=[{"Key": "a", "Value": "b"}])
        assert fsx.list_tags_for_resource(ResourceARN=made["ResourceARN"])["Tags"] == [{"Key": "a", "Value": "b"}]
        with pytest.raises(fsx.exceptions.DataRepositoryAssociationNotFound):
            fsx.delete_data_repository_association(AssociationId="dra-000000000")
        with pytest.raises(ClientError, match="PERSISTENT_9"):
            fsx.create_file_system(
                FileSystemType="LUSTRE",
                SubnetIds=["subnet-12345678"],
                LustreConfiguration={"DeploymentType": "PERSISTENT_9"},
            )
        with pytest.raises(ClientError, match="not emulated"):
            fsx.describe_volumes()


def test_every_answer_of_the_service_fits_the_api_model(service, data):
    from lakelink.testing.aws.shapes import response_problems

    (one,) = service.state.associations.values()
    task(service, one.file_system.id, "EXPORT_TO_REPOSITORY", Paths=["data"])
    for operation in ("DescribeFileSystems", "DescribeDataRepositoryAssociations", "DescribeDataRepositoryTasks"):
        found = service.call(operation, {})
        assert response_problems("fsx", operation, found) == []
        assert len(next(value for value in found.values() if isinstance(value, list))) == 1


def test_metadata_of_other_writers_is_read_leniently():
    assert attributes_of({"file-permissions": "100755"}).mode == 0o755
    assert attributes_of({"file-permissions": "0644"}).mode == 0o644
    assert attributes_of({"file-permissions": "0104755"}).mode == 0o755
    assert attributes_of({"file-mtime": "1595002920000"}).mtime_ns == 1595002920000 * 10**6
    assert attributes_of({"file-mtime": "5ms"}).mtime_ns == 5 * 10**6
    assert attributes_of({"file-mtime": "soon", "file-owner": "root"}).uid is None


def test_a_mirror_works_by_itself_on_any_directory_and_bucket(s3, service, tmp_path):
    mirror = Mirror(s3, BUCKET, "", tmp_path / "tree")
    (tmp_path / "tree").mkdir()
    mirror.begin()
    (tmp_path / "tree/a").write_bytes(b"1")
    assert mirror.auto_export(ALL) == 1
    assert mirror.auto_import(ALL) == 0
    assert keys_of(s3) == ["a"]


class _Meddling:
    """An S3 client that lets something happen right after one call."""

    def __init__(self, s3: Any, operation: str, happens: Any) -> None:
        self._s3, self._operation, self._happens = s3, operation, happens

    def __getattr__(self, name: str) -> Any:
        if name != self._operation:
            return getattr(self._s3, name)

        def call(**keys: Any) -> Any:
            answer = getattr(self._s3, name)(**keys)
            happens, self._happens = self._happens, lambda: None
            happens()
            return answer

        return call


def test_a_write_during_an_export_is_exported_by_the_next_round(s3, service, tmp_path):
    (tmp_path / "tree").mkdir()
    late = tmp_path / "tree" / "a"
    mirror = Mirror(_Meddling(s3, "put_object", lambda: late.write_bytes(b"late")), BUCKET, "", tmp_path / "tree")
    mirror.begin()
    late.write_bytes(b"early")
    mirror.auto_export(ALL)
    assert s3.get_object(Bucket=BUCKET, Key="a")["Body"].read() == b"early"
    assert mirror.auto_export(ALL) == 1
    assert s3.get_object(Bucket=BUCKET, Key="a")["Body"].read() == b"late"


def test_an_overwrite_right_after_an_export_is_imported_by_the_next_round(s3, service, tmp_path):
    (tmp_path / "tree").mkdir()
    theirs = lambda: s3.put_object(Bucket=BUCKET, Key="a", Body=b"theirs")  # noqa: E731
    mirror = Mirror(_Meddling(s3, "put_object", theirs), BUCKET, "", tmp_path / "tree")
    mirror.begin()
    (tmp_path / "tree/a").write_bytes(b"ours")
    mirror.auto_export(ALL)
    mirror.auto_import(ALL)
    assert (tmp_path / "tree/a").read_bytes() == b"theirs"


def test_an_object_that_goes_between_the_listing_and_the_import_is_logged(s3, service, tmp_path, monkeypatch):
    (tmp_path / "tree").mkdir()
    mirror = Mirror(s3, BUCKET, "", tmp_path / "tree")
    mirror.begin()
    s3.put_object(Bucket=BUCKET, Key="a", Body=b"1")
    listing = mirror.lake()
    s3.delete_object(Bucket=BUCKET, Key="a")
    monkeypatch.setattr(Mirror, "lake", lambda _: listing)
    assert mirror.auto_import(ALL) == 0
    assert [failure.code for failure in mirror.log] == ["S3ImportObjectDeleted"]
