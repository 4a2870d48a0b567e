# Two functions, so that every folder's CMakeLists.txt says only what it is made of.

# uhd_library(NAME FILES... LINK libraries...): one library per folder; its LINK line is its row in docs/architecture.md.
function(uhd_library name)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  add_library(${name} STATIC ${ARG_UNPARSED_ARGUMENTS})
  uhd_options(${name})
  target_link_libraries(${name} PUBLIC ${ARG_LINK})
endfunction()

# uhd_test(NAME FILES... LINK libraries... [LABELS labels...]): a GoogleTest program; each test is a ctest entry of its own.
function(uhd_test name)
  cmake_parse_arguments(ARG "" "" "LINK;LABELS" ${ARGN})
  add_executable(${name} ${ARG_UNPARSED_ARGUMENTS})
  uhd_options(${name})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} GTest::gmock GTest::gtest_main)
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}
    PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT 300)
endfunction()

function(uhd_options target)
  target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR})
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wno-missing-field-initializers -Werror)
  if(UHD_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${UHD_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(${target} PUBLIC -fsanitize=${UHD_SANITIZE})
  endif()
endfunction()
