/* Reading the value of one setting into its field. Each: 0, -EINVAL for a wrong value (the field stays), -ENOMEM. */
#pragma once

struct config;
typedef int config_values_parser(void *field, struct config *config, const char *value);

config_values_parser config_values_text, config_values_path, config_values_readable, config_values_list,
    config_values_addresses, config_values_networks;
config_values_parser config_values_url, config_values_origin, config_values_issuer;
config_values_parser config_values_listen, config_values_ports, config_values_connections, config_values_limit,
    config_values_patience;
config_values_parser config_values_log, config_values_log_format, config_values_identity, config_values_style,
    config_values_yes;
config_values_parser config_values_region, config_values_credentials, config_values_role;
config_values_parser config_values_layout, config_values_size, config_values_bucket;
config_values_parser config_values_bucket_prefix, config_values_days, config_values_grant_life;
