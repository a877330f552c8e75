{
  # The list of sources and the flags that both builds share.
  'includes': ['native/sources.json'],
  'targets': [
    {
      'target_name': 'covn',
      'sources': ['<@(covn_core_sources)', '<@(covn_shared_binding_sources)', '<@(covn_binding_sources)'],
      'include_dirs': ['<@(covn_includes)'],
      'defines': ['<@(covn_defines)'],
      'dependencies': ['<!(node -p "require(\'node-addon-api\').targets"):node_addon_api_except'],
      'cflags_cc': ['<@(covn_cflags_cc)'],
      'cflags_cc!': ['-std=gnu++17', '-std=gnu++20', '-O2'],
      'xcode_settings': {
        'OTHER_CPLUSPLUSFLAGS': ['<@(covn_cflags_cc)'],
        'MACOSX_DEPLOYMENT_TARGET': '12.0',
      },
      'msvs_settings': {
        'VCCLCompilerTool': {
          'AdditionalOptions!': ['-std:c++17', '-std:c++20'],
          'AdditionalOptions': ['<@(covn_msvc_flags)'],
        },
      },
    },
  ],
}
