# What `cmake --install` puts where, and the Debian package that CPack makes of it: cpack --config build/release/CPackConfig.cmake
include(GNUInstallDirs)
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)  # only the program is installed, so tests need not be built
install(TARGETS uhd RUNTIME)
if(TARGET uhd_cuda)
  install(TARGETS uhd_cuda LIBRARY DESTINATION lib)  # the program looks for it in ../lib: kernels/plugin.h
endif()
if(TARGET uhd_grammar)
  install(TARGETS uhd_grammar LIBRARY DESTINATION lib)
  install(TARGETS uhd_grammar_compiler RUNTIME DESTINATION lib)  # beside the plugin, which starts it
endif()
install(DIRECTORY models/nano-uhd DESTINATION ${CMAKE_INSTALL_DATADIR}/uhd/models)
install(DIRECTORY configs/ DESTINATION ${CMAKE_INSTALL_DATADIR}/uhd/configs FILES_MATCHING PATTERN "*.yaml")
install(DIRECTORY deploy/ DESTINATION ${CMAKE_INSTALL_DATADIR}/uhd/deploy)
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES README.md CHANGELOG.md LICENSE NOTICE DESTINATION ${CMAKE_INSTALL_DOCDIR})
# Under another prefix the unit and the settings are samples that nobody reads, so they are only in the package.
install(FILES deploy/uhd.service DESTINATION lib/systemd/system COMPONENT system EXCLUDE_FROM_ALL)
install(FILES deploy/uhd.yaml DESTINATION /etc/uhd COMPONENT system EXCLUDE_FROM_ALL)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME uhd)
set(CPACK_PACKAGE_CONTACT "the developers of uhd")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "server for questions about big images (LLaVA-UHD, MiniCPM-V, SmolVLM)")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_INSTALL_CMAKE_PROJECTS "${CMAKE_BINARY_DIR};uhd;ALL;/" "${CMAKE_BINARY_DIR};uhd;system;/")
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS openmpi-bin)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/deploy/conffiles)
include(CPack)
