# uhd_embed(OUT FOLDER): writes a source file that holds every file of the folder: FOLDER_files() of FOLDER_files.h returns them.
function(uhd_embed out folder)
  file(GLOB files CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR}/${folder} ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*)
  file(RELATIVE_PATH here ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
  set(arrays "")
  set(entries "")
  foreach(file IN LISTS files)
    set(path ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/${file})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
    file(READ ${path} hex HEX)
    string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
    string(MAKE_C_IDENTIFIER "k_${file}" name)
    string(APPEND arrays "constexpr unsigned char ${name}[] = {${bytes}};\n")
    string(APPEND entries "    {\"${file}\", {reinterpret_cast<const char*>(${name}), sizeof(${name})}},\n")
  endforeach()
  set(source ${CMAKE_CURRENT_BINARY_DIR}/${folder}_files.cc)
  file(CONFIGURE OUTPUT ${source} CONTENT "// Made by cmake/embed.cmake.
#include \"@here@/@folder@_files.h\"

namespace uhd {
namespace {
@arrays@}  // namespace

std::span<const EmbeddedFile> @folder@_files() {
  static const EmbeddedFile files[] = {
@entries@  };
  return files;
}

}  // namespace uhd
" @ONLY)
  set(${out} ${source} PARENT_SCOPE)
endfunction()
