# Optional: the functions' permissions in the cluster, and the NetworkPolicy of the submitters' pods. What they
# say stands once, in deploy/kubernetes/; here they are read from there and given to the Google identities.

locals {
  kubernetes_documents = [
    for document in flatten([
      for file in ["namespace.yaml", "rbac.yaml", "networkpolicy.yaml"] :
      split("\n---\n", file("${path.module}/../deploy/kubernetes/${file}"))
    ]) : yamldecode(document) if strcontains(document, "kind:")
  ]

  # By name; the Role of each function is called flinkjobs-<function>.
  kubernetes_roles = {
    for document in local.kubernetes_documents : document.metadata.name => document if document.kind == "Role"
  }
  network_policies = {
    for document in local.kubernetes_documents : document.metadata.name => document if document.kind == "NetworkPolicy"
  }

  namespace_labels = one([
    for document in local.kubernetes_documents : document.metadata.labels if document.kind == "Namespace"
  ])

  # GKE knows a service account by its e-mail address or, where its token lacks that scope, by its number.
  kubernetes_users = {
    for function, account in google_service_account.function : function => [account.email, account.unique_id]
  }

  # A Role of each function in every namespace that the Jobs live in, by an address that stays: that of
  # k8s_namespace has the function's name, any other is called <function>@<namespace>.
  kubernetes_grants = merge(
    { for function, _ in local.functions : function => { function = function, namespace = local.kubernetes_namespace } },
    {
      for pair in setproduct(keys(local.functions), local.further_namespaces) :
      "${pair[0]}@${pair[1]}" => { function = pair[0], namespace = pair[1] }
    },
  )
  further_namespaces = setsubtract(
    [for cluster in values(var.flink_clusters) : cluster.namespace if cluster.namespace != null], [var.k8s_namespace]
  )

  kubernetes_namespace = (
    var.manage_kubernetes && var.manage_namespace
    ? kubernetes_namespace_v1.this[0].metadata[0].name
    : var.k8s_namespace
  )
}

resource "kubernetes_namespace_v1" "this" {
  count = var.manage_kubernetes && var.manage_namespace ? 1 : 0

  metadata {
    name   = var.k8s_namespace
    labels = merge(local.labels, local.namespace_labels)
  }
}

resource "kubernetes_role_v1" "function" {
  for_each = var.manage_kubernetes ? local.kubernetes_grants : {}

  metadata {
    name      = "${var.prefix}-${each.value.function}"
    namespace = each.value.namespace
    labels    = local.labels
  }

  dynamic "rule" {
    for_each = local.kubernetes_roles["flinkjobs-${each.value.function}"].rules

    content {
      api_groups     = rule.value.apiGroups
      resources      = rule.value.resources
      resource_names = try(rule.value.resourceNames, null)
      verbs          = rule.value.verbs
    }
  }
}

resource "kubernetes_role_binding_v1" "function" {
  for_each = var.manage_kubernetes ? local.kubernetes_grants : {}

  metadata {
    name      = "${var.prefix}-${each.value.function}"
    namespace = each.value.namespace
    labels    = local.labels
  }

  role_ref {
    api_group = "rbac.authorization.k8s.io"
    kind      = "Role"
    name      = kubernetes_role_v1.function[each.key].metadata[0].name
  }

  dynamic "subject" {
    for_each = local.kubernetes_users[each.value.function]

    content {
      api_group = "rbac.authorization.k8s.io"
      kind      = "User"
      name      = subject.value
    }
  }
}

resource "kubernetes_network_policy_v1" "this" {
  for_each = var.manage_kubernetes ? local.network_policies : {}

  metadata {
    name      = each.key
    namespace = local.kubernetes_namespace
    labels    = local.labels
  }

  spec {
    policy_types = each.value.spec.policyTypes

    pod_selector {
      match_labels = try(each.value.spec.podSelector.matchLabels, null)
    }

    dynamic "ingress" {
      for_each = try(each.value.spec.ingress, [])

      content {
        dynamic "from" {
          for_each = try(ingress.value.from, [])

          content {
            dynamic "ip_block" {
              for_each = [for block in [try(from.value.ipBlock, null)] : block if block != null]

              content {
                cidr   = ip_block.value.cidr
                except = try(ip_block.value.except, null)
              }
            }
            dynamic "namespace_selector" {
              for_each = [for selector in [try(from.value.namespaceSelector, null)] : selector if selector != null]

              content {
                match_labels = try(namespace_selector.value.matchLabels, null)
              }
            }
            dynamic "pod_selector" {
              for_each = [for selector in [try(from.value.podSelector, null)] : selector if selector != null]

              content {
                match_labels = try(pod_selector.value.matchLabels, null)
              }
            }
          }
        }
        dynamic "ports" {
          for_each = try(ingress.value.ports, [])

          content {
            port     = try(tostring(ports.value.port), null)
            protocol = try(ports.value.protocol, "TCP")
          }
        }
      }
    }

    dynamic "egress" {
      for_each = try(each.value.spec.egress, [])

      content {
        dynamic "to" {
          for_each = try(egress.value.to, [])

          content {
            dynamic "ip_block" {
              for_each = [for block in [try(to.value.ipBlock, null)] : block if block != null]

              content {
                cidr   = ip_block.value.cidr
                except = try(ip_block.value.except, null)
              }
            }
            dynamic "namespace_selector" {
              for_each = [for selector in [try(to.value.namespaceSelector, null)] : selector if selector != null]

              content {
                match_labels = try(namespace_selector.value.matchLabels, null)
              }
            }
            dynamic "pod_selector" {
              for_each = [for selector in [try(to.value.podSelector, null)] : selector if selector != null]

              content {
                match_labels = try(pod_selector.value.matchLabels, null)
              }
            }
          }
        }
        dynamic "ports" {
          for_each = try(egress.value.ports, [])

          content {
            port     = try(tostring(ports.value.port), null)
            protocol = try(ports.value.protocol, "TCP")
          }
        }
      }
    }
  }
}
