# Stands in for a Slicer build tree: the variables and macros that the extension uses, and nothing else.
set(Slicer_USE_FILE ${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake)
set(Slicer_EXTENSION_GENERATE_CONFIG ${CMAKE_CURRENT_LIST_DIR}/Nothing.cmake)
set(Slicer_EXTENSION_CPACK ${CMAKE_CURRENT_LIST_DIR}/Nothing.cmake)
set(Slicer_INSTALL_ROOT "./")
set(Slicer_BUNDLE_EXTENSIONS_LOCATION "")
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR "lib/Slicer-5.12/qt-scripted-modules")
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR "./lib/Slicer-5.12/qt-scripted-modules")
set(PYTHON_SITE_PACKAGES_SUBDIR "lib/Python/lib/python3.12/site-packages")
