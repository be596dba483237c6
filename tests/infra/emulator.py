# ruff: noqa: N802  # handlers carry the names of the resource types
"""Makes the resources of a recorded program in emulators: what the provider plugin would do, resource type by resource type.

Every call is held against the API model, enums and patterns included, and is remembered for the test of the IAM policies. The real
provider's own checks, replacement rules and waiting are not part of this.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

import boto3
from botocore.exceptions import ClientError, ParamValidationError

from lakelink.infra.graph import Node
from lakelink.infra.record import ProviderError
from lakelink.testing.aws.shapes import request_problems

Made = tuple[str, dict[str, Any]]
ACCOUNT = "123456789012"


class Emulator:
    """A provider over boto3 clients that the environment leads to emulators."""

    def __init__(self, region: str, client: Callable[[str], Any] | None = None) -> None:
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_FSX"):
            if not os.environ.get(name, "").startswith("http://127.0.0.1:"):
                raise RuntimeError(f"{name} does not lead to an emulator")
        self.region = region
        self.new_client = client or boto3.session.Session(region_name=region).client
        self.calls: set[tuple[str, str, str]] = set()  # resource type or lookup, service, operation
        self.busy = threading.local()  # calls come on many threads
        self.clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """A client whose calls are checked and remembered."""
        if service not in self.clients:
            made = self.new_client(service)
            made.meta.events.register("provide-client-params", self._judge)
            self.clients[service] = made
        return self.clients[service]

    def _judge(self, params: Mapping[str, Any], model: Any, **_: Any) -> None:
        service = model.service_model.service_name
        self.calls.add((self.busy.type, service, model.name))
        if problems := request_problems(service, model.name, params):
            raise ProviderError(f"{model.name} would be refused: {'; '.join(problems)}")

    def create(self, node: Node) -> Made:
        """One resource; the emulator's refusal is the reason it was not made."""
        handler = getattr(self, f"make_{node.kind}", None)
        if handler is None:
            raise ProviderError(f"{node.type} is not emulated")
        self.busy.type = node.type
        try:
            return handler({key: value for key, value in node.inputs.items() if value is not None})
        except (ClientError, ParamValidationError) as problem:
            raise ProviderError(f"creating {node.name}: {problem}") from problem

    def look_up(self, token: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """One question to the account."""
        self.busy.type = token
        return getattr(self, f"find_{token.rpartition(':')[2]}")(arguments)

    # S3

    def make_aws(self, _: Mapping[str, Any]) -> Made:
        return "aws", {}

    def make_Bucket(self, given: Mapping[str, Any]) -> Made:
        name, s3 = given["bucket"], self.client("s3")
        place = {} if self.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": self.region}}
        s3.create_bucket(Bucket=name, **place)
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": tags(given)})
        return name, {"id": name, "bucket": name, "arn": f"arn:aws:s3:::{name}"}

    def make_BucketVersioning(self, given: Mapping[str, Any]) -> Made:
        status = given["versioningConfiguration"]["status"]
        self.client("s3").put_bucket_versioning(Bucket=given["bucket"], VersioningConfiguration={"Status": status})
        return given["bucket"], {}

    def make_BucketServerSideEncryptionConfiguration(self, given: Mapping[str, Any]) -> Made:
        (rule,) = given["rules"]
        default = rule["applyServerSideEncryptionByDefault"]
        wanted = {"SSEAlgorithm": default["sseAlgorithm"]}
        if default.get("kmsMasterKeyId"):
            wanted["KMSMasterKeyID"] = default["kmsMasterKeyId"]
        self.client("s3").put_bucket_encryption(
            Bucket=given["bucket"],
            ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": wanted}]},
        )
        return given["bucket"], {}

    def make_BucketPublicAccessBlock(self, given: Mapping[str, Any]) -> Made:
        locks = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
        self.client("s3").put_public_access_block(
            Bucket=given["bucket"],
            PublicAccessBlockConfiguration={lock[0].upper() + lock[1:]: given[lock] for lock in locks},
        )
        return given["bucket"], {}

    def make_BucketOwnershipControls(self, given: Mapping[str, Any]) -> Made:
        self.client("s3").put_bucket_ownership_controls(
            Bucket=given["bucket"],
            OwnershipControls={"Rules": [{"ObjectOwnership": given["rule"]["objectOwnership"]}]},
        )
        return given["bucket"], {}

    def make_BucketPolicy(self, given: Mapping[str, Any]) -> Made:
        self.client("s3").put_bucket_policy(Bucket=given["bucket"], Policy=given["policy"])
        return given["bucket"], {}

    def make_BucketNotification(self, given: Mapping[str, Any]) -> Made:
        queues = []
        for queue in given["queues"]:
            rules = [{"Name": "prefix", "Value": queue["filterPrefix"]}] if queue.get("filterPrefix") else []
            found = {"Id": queue["id"], "QueueArn": queue["queueArn"], "Events": queue["events"]}
            queues.append(found | ({"Filter": {"Key": {"FilterRules": rules}}} if rules else {}))
        self.client("s3").put_bucket_notification_configuration(
            Bucket=given["bucket"], NotificationConfiguration={"QueueConfigurations": queues}
        )
        return given["bucket"], {}

    def find_getBucket(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        self.client("s3").head_bucket(Bucket=given["bucket"])
        return {"bucket": given["bucket"], "id": given["bucket"], "arn": f"arn:aws:s3:::{given['bucket']}"}

    # Network

    def make_Vpc(self, given: Mapping[str, Any]) -> Made:
        ec2 = self.client("ec2")
        made = ec2.create_vpc(CidrBlock=given["cidrBlock"], TagSpecifications=tagged("vpc", given))["Vpc"]["VpcId"]
        ec2.modify_vpc_attribute(VpcId=made, EnableDnsHostnames={"Value": given["enableDnsHostnames"]})
        return made, {"id": made, "cidrBlock": given["cidrBlock"]}

    def make_Subnet(self, given: Mapping[str, Any]) -> Made:
        zone = {"AvailabilityZone": given["availabilityZone"]} if given.get("availabilityZone") else {}
        made = self.client("ec2").create_subnet(
            VpcId=given["vpcId"], CidrBlock=given["cidrBlock"], TagSpecifications=tagged("subnet", given), **zone
        )
        return made["Subnet"]["SubnetId"], {}

    def make_RouteTable(self, given: Mapping[str, Any]) -> Made:
        made = self.client("ec2").create_route_table(
            VpcId=given["vpcId"], TagSpecifications=tagged("route-table", given)
        )
        return made["RouteTable"]["RouteTableId"], {}

    def make_RouteTableAssociation(self, given: Mapping[str, Any]) -> Made:
        made = self.client("ec2").associate_route_table(RouteTableId=given["routeTableId"], SubnetId=given["subnetId"])
        return made["AssociationId"], {}

    def make_InternetGateway(self, given: Mapping[str, Any]) -> Made:
        ec2 = self.client("ec2")
        made = ec2.create_internet_gateway(TagSpecifications=tagged("internet-gateway", given))["InternetGateway"]
        ec2.attach_internet_gateway(InternetGatewayId=made["InternetGatewayId"], VpcId=given["vpcId"])
        return made["InternetGatewayId"], {}

    def make_Route(self, given: Mapping[str, Any]) -> Made:
        self.client("ec2").create_route(
            RouteTableId=given["routeTableId"],
            DestinationCidrBlock=given["destinationCidrBlock"],
            GatewayId=given["gatewayId"],
        )
        return f"r-{given['routeTableId']}", {}

    def make_VpcEndpoint(self, given: Mapping[str, Any]) -> Made:
        names = {
            "routeTableIds": "RouteTableIds",
            "subnetIds": "SubnetIds",
            "securityGroupIds": "SecurityGroupIds",
            "privateDnsEnabled": "PrivateDnsEnabled",
        }
        made = self.client("ec2").create_vpc_endpoint(
            VpcId=given["vpcId"],
            ServiceName=given["serviceName"],
            VpcEndpointType=given["vpcEndpointType"],
            TagSpecifications=tagged("vpc-endpoint", given),
            **{theirs: given[ours] for ours, theirs in names.items() if ours in given},
        )["VpcEndpoint"]
        entries = [{"dnsName": entry["DnsName"]} for entry in made.get("DnsEntries", [])]
        return made["VpcEndpointId"], {"dnsEntries": entries}

    def make_SecurityGroup(self, given: Mapping[str, Any]) -> Made:
        """As the provider does it, without the rule that AWS gives to every new group: everything may go out."""
        ec2 = self.client("ec2")
        made = ec2.create_security_group(
            GroupName=given["tags"]["Name"],
            Description=given["description"],
            VpcId=given["vpcId"],
            TagSpecifications=tagged("security-group", given),
        )["GroupId"]
        everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        ec2.revoke_security_group_egress(GroupId=made, IpPermissions=[everything])
        return made, {}

    def _rule(self, given: Mapping[str, Any]) -> dict[str, Any]:
        peer: dict[str, Any]
        if given.get("referencedSecurityGroupId"):
            peer = {
                "UserIdGroupPairs": [
                    {"GroupId": given["referencedSecurityGroupId"], "Description": given["description"]}
                ]
            }
        else:
            peer = {"IpRanges": [{"CidrIp": given["cidrIpv4"], "Description": given["description"]}]}
        ports = {"FromPort": given["fromPort"], "ToPort": given["toPort"]} if "fromPort" in given else {}
        permission = {"IpProtocol": given["ipProtocol"], **ports, **peer}
        return {"GroupId": given["securityGroupId"], "IpPermissions": [permission]}

    def make_SecurityGroupIngressRule(self, given: Mapping[str, Any]) -> Made:
        made = self.client("ec2").authorize_security_group_ingress(**self._rule(given))
        return made["SecurityGroupRules"][0]["SecurityGroupRuleId"], {}

    def make_SecurityGroupEgressRule(self, given: Mapping[str, Any]) -> Made:
        made = self.client("ec2").authorize_security_group_egress(**self._rule(given))
        return made["SecurityGroupRules"][0]["SecurityGroupRuleId"], {}

    def find_getVpc(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        where: dict[str, Any] = (
            {"VpcIds": [given["id"]]} if "id" in given else {"Filters": [{"Name": "is-default", "Values": ["true"]}]}
        )
        (vpc,) = self.client("ec2").describe_vpcs(**where)["Vpcs"]
        return {"id": vpc["VpcId"], "cidrBlock": vpc["CidrBlock"]}

    def find_getSubnet(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        (subnet,) = self.client("ec2").describe_subnets(SubnetIds=[given["id"]])["Subnets"]
        return {"id": subnet["SubnetId"], "vpcId": subnet["VpcId"]}

    def find_getSubnets(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        filters = [{"Name": one["name"], "Values": one["values"]} for one in given["filters"]]
        found = self.client("ec2").describe_subnets(Filters=filters)["Subnets"]
        return {"ids": sorted((subnet["SubnetId"] for subnet in found), reverse=True)}

    def find_getRouteTables(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        found = self.client("ec2").describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [given["vpcId"]]}])
        return {"ids": [table["RouteTableId"] for table in found["RouteTables"]]}

    # File system

    def make_LustreFileSystem(self, given: Mapping[str, Any]) -> Made:
        fsx = self.client("fsx")
        made = fsx.create_file_system(**file_system_request(given))["FileSystem"]
        fsx.describe_file_systems(FileSystemIds=[made["FileSystemId"]])
        return made["FileSystemId"], {"dnsName": made["DNSName"], "mountName": made["LustreConfiguration"]["MountName"]}

    def make_DataRepositoryAssociation(self, given: Mapping[str, Any]) -> Made:
        fsx = self.client("fsx")
        made = fsx.create_data_repository_association(**association_request(given))["Association"]["AssociationId"]
        for _ in range(20):
            (found,) = fsx.describe_data_repository_associations(AssociationIds=[made])["Associations"]
            if found["Lifecycle"] == "AVAILABLE":
                return made, {"associationId": made}
        raise ProviderError(f"{made} is still {found['Lifecycle']}")

    # Instances and rights

    def make_Role(self, given: Mapping[str, Any]) -> Made:
        name = given["tags"]["Name"]
        made = self.client("iam").create_role(
            RoleName=name, AssumeRolePolicyDocument=given["assumeRolePolicy"], Tags=tags(given)
        )
        return name, {"name": name, "arn": made["Role"]["Arn"]}

    def make_RolePolicy(self, given: Mapping[str, Any]) -> Made:
        name = f"{given['role']}-rights"
        self.client("iam").put_role_policy(RoleName=given["role"], PolicyName=name, PolicyDocument=given["policy"])
        return name, {}

    def make_RolePolicyAttachment(self, given: Mapping[str, Any]) -> Made:
        self.client("iam").attach_role_policy(RoleName=given["role"], PolicyArn=given["policyArn"])
        return f"{given['role']}-attached", {}

    def make_InstanceProfile(self, given: Mapping[str, Any]) -> Made:
        name = given["tags"]["Name"]
        iam = self.client("iam")
        iam.create_instance_profile(InstanceProfileName=name, Tags=tags(given))
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=given["role"])
        return name, {"name": name}

    def make_Instance(self, given: Mapping[str, Any]) -> Made:
        options = given["metadataOptions"]
        public = {}
        if given.get("associatePublicIpAddress") is not None:
            public = {"AssociatePublicIpAddress": given["associatePublicIpAddress"]}
        made = self.client("ec2").run_instances(
            ImageId=given["ami"],
            InstanceType=given["instanceType"],
            MinCount=1,
            MaxCount=1,
            IamInstanceProfile={"Name": given["iamInstanceProfile"]},
            NetworkInterfaces=[
                {"DeviceIndex": 0, "SubnetId": given["subnetId"], "Groups": given["vpcSecurityGroupIds"], **public}
            ],
            MetadataOptions={
                "HttpEndpoint": options["httpEndpoint"],
                "HttpTokens": options["httpTokens"],
                "HttpPutResponseHopLimit": options["httpPutResponseHopLimit"],
            },
            UserData=given["userData"],
            TagSpecifications=tagged("instance", given),
        )
        return made["Instances"][0]["InstanceId"], {}

    def find_getParameter(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        found = self.client("ssm").get_parameter(Name=given["name"])["Parameter"]
        return {"name": given["name"], "value": found["Value"]}

    # Queue and SFTP

    def make_Queue(self, given: Mapping[str, Any]) -> Made:
        attributes = {
            "MessageRetentionPeriod": str(given["messageRetentionSeconds"]),
            "SqsManagedSseEnabled": str(given["sqsManagedSseEnabled"]).lower(),
        }
        if "redrivePolicy" in given:
            attributes["RedrivePolicy"] = given["redrivePolicy"]
        url = self.client("sqs").create_queue(QueueName=given["name"], Attributes=attributes, tags=given["tags"])
        return url["QueueUrl"], {
            "url": url["QueueUrl"],
            "arn": f"arn:aws:sqs:{self.region}:{ACCOUNT}:{given['name']}",
        }

    def make_QueuePolicy(self, given: Mapping[str, Any]) -> Made:
        self.client("sqs").set_queue_attributes(QueueUrl=given["queueUrl"], Attributes={"Policy": given["policy"]})
        return given["queueUrl"], {}

    def make_Server(self, given: Mapping[str, Any]) -> Made:
        made = self.client("transfer").create_server(
            Domain=given["domain"],
            EndpointType=given["endpointType"],
            IdentityProviderType=given["identityProviderType"],
            Protocols=given["protocols"],
            SecurityPolicyName=given["securityPolicyName"],
            Tags=tags(given),
        )["ServerId"]
        return made, {"endpoint": f"{made}.server.transfer.{self.region}.amazonaws.com"}

    def make_User(self, given: Mapping[str, Any]) -> Made:
        self.client("transfer").create_user(
            ServerId=given["serverId"],
            UserName=given["userName"],
            Role=given["role"],
            HomeDirectoryType=given["homeDirectoryType"],
            HomeDirectoryMappings=[
                {"Entry": one["entry"], "Target": one["target"]} for one in given["homeDirectoryMappings"]
            ],
            Tags=tags(given),
        )
        return f"{given['serverId']}/{given['userName']}", {}

    def make_SshKey(self, given: Mapping[str, Any]) -> Made:
        made = self.client("transfer").import_ssh_public_key(
            ServerId=given["serverId"], UserName=given["userName"], SshPublicKeyBody=given["body"]
        )
        return made["SshPublicKeyId"], {}


def tags(given: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in given["tags"].items()]


def tagged(kind: str, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": tags(given)}]


LUSTRE = {
    "deploymentType": "DeploymentType",
    "perUnitStorageThroughput": "PerUnitStorageThroughput",
    "throughputCapacity": "ThroughputCapacity",
    "dataCompressionType": "DataCompressionType",
    "driveCacheType": "DriveCacheType",
    "efaEnabled": "EfaEnabled",
    "weeklyMaintenanceStartTime": "WeeklyMaintenanceStartTime",
    "automaticBackupRetentionDays": "AutomaticBackupRetentionDays",
    "copyTagsToBackups": "CopyTagsToBackups",
}
NESTED = {
    "metadataConfiguration": ("MetadataConfiguration", {"mode": "Mode", "iops": "Iops"}),
    "dataReadCacheConfiguration": ("DataReadCacheConfiguration", {"sizingMode": "SizingMode", "size": "SizeGiB"}),
    "rootSquashConfiguration": ("RootSquashConfiguration", {"rootSquash": "RootSquash"}),
}
OUTER = {"storageCapacity": "StorageCapacity", "kmsKeyId": "KmsKeyId"}


def file_system_request(given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of CreateFileSystem that a recorded file system stands for."""
    lustre = {theirs: given[ours] for ours, theirs in LUSTRE.items() if ours in given}
    for ours, (theirs, members) in NESTED.items():
        if ours in given:
            lustre[theirs] = {members[key]: value for key, value in given[ours].items() if value is not None}
    return {
        "FileSystemType": "LUSTRE",
        "StorageType": given["storageType"],
        "SubnetIds": [given["subnetIds"]],
        "SecurityGroupIds": given["securityGroupIds"],
        "FileSystemTypeVersion": given["fileSystemTypeVersion"],
        "LustreConfiguration": lustre,
        "Tags": tags(given),
        **{theirs: given[ours] for ours, theirs in OUTER.items() if ours in given},
    }


def association_request(given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of CreateDataRepositoryAssociation that a recorded association stands for."""
    policies = given["s3"]
    return {
        "FileSystemId": given["fileSystemId"],
        "FileSystemPath": given["fileSystemPath"],
        "DataRepositoryPath": given["dataRepositoryPath"],
        "BatchImportMetaDataOnCreate": given["batchImportMetaDataOnCreate"],
        "ImportedFileChunkSize": given["importedFileChunkSize"],
        "S3": {
            "AutoImportPolicy": {"Events": policies["autoImportPolicy"]["events"]},
            "AutoExportPolicy": {"Events": policies["autoExportPolicy"]["events"]},
        },
        "Tags": tags(given),
    }
