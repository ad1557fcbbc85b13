# `cmake --install build/release --prefix DIR` makes a folder that can be moved: bin/loraptor, lib/ with the libraries
# that Debian does not guarantee (LibTorch and what it needs), share/loraptor with the vocabularies, and the launcher.
include(GNUInstallDirs)
set_target_properties(loraptor PROPERTIES INSTALL_RPATH "$ORIGIN/../lib")
install(TARGETS loraptor RUNTIME DESTINATION bin)
install(PROGRAMS "${CMAKE_SOURCE_DIR}/sd3_train_network.py" DESTINATION bin)
if(EXISTS "${CMAKE_SOURCE_DIR}/data/tokenizers")
  install(DIRECTORY "${CMAKE_SOURCE_DIR}/data/tokenizers" DESTINATION share/loraptor)
endif()
install(CODE "
  set(torch_lib \"${TORCH_DIR}/lib\")
  set(cuda_lib \"${LORAPTOR_SITE_PACKAGES}/nvidia/cu13/lib\")
  file(GET_RUNTIME_DEPENDENCIES
    EXECUTABLES \"$<TARGET_FILE:loraptor>\"
    DIRECTORIES \"\${torch_lib}\" \"\${cuda_lib}\"
    RESOLVED_DEPENDENCIES_VAR found
    UNRESOLVED_DEPENDENCIES_VAR missing
    # glibc and the compiler's runtime come with every system new enough to run the program.
    PRE_EXCLUDE_REGEXES \"^ld-linux\" \"^libc\\\\.so\" \"^libm\\\\.so\" \"^libdl\\\\.so\" \"^librt\\\\.so\"
                        \"^libpthread\\\\.so\" \"^libstdc\\\\+\\\\+\" \"^libgcc_s\" \"^libcuda\\\\.so\")
  foreach(library IN LISTS found)
    file(INSTALL DESTINATION \"\${CMAKE_INSTALL_PREFIX}/lib\" TYPE SHARED_LIBRARY FILES \"\${library}\" FOLLOW_SYMLINK_CHAIN)
  endforeach()
  if(missing)
    message(WARNING \"libraries not found while installing: \${missing}\")
  endif()
")
