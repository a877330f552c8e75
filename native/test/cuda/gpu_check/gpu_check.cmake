# The program that checks a device, linked to a backend: nvcc's, or the emulated one. Every check_*.cpp and operation_*.cpp
# of this folder is part of it.
function(covn_gpu_check target backend)
  set(folder ${PROJECT_SOURCE_DIR}/native/test/cuda/gpu_check)
  file(GLOB sources CONFIGURE_DEPENDS ${folder}/*.cpp)
  file(GLOB kernels CONFIGURE_DEPENDS ${folder}/*.cu)
  get_target_property(emulated ${backend} INTERFACE_COMPILE_DEFINITIONS)
  if(emulated MATCHES "COVN_CUDA_EMULATED")
    set_source_files_properties(${kernels} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-x;c++")
  endif()
  add_executable(${target} ${sources} ${kernels})
  target_link_libraries(${target} PRIVATE ${backend})
endfunction()
